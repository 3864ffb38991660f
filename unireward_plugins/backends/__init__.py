"""The ways to reach a model: in this process (`transformers`, `vllm`), or behind a server (`openai`)."""
