"""The ways to reach a model: in this process (`transformers`, `vllm`) or behind an OpenAI-compatible server (`openai`)."""
