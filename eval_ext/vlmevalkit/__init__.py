"""VLMEvalKit: reward-model benchmarks as its datasets, and any judge as a model. `docs/vlmevalkit.md` shows both.

VLMEvalKit has no door for plug-ins, so `launch` registers both and then runs its own `run.py`. That happens in a
process, and usually an environment, of its own: `unireward vlmeval` starts it. `table` knows nothing of VLMEvalKit;
`dataset` and `model` hold the two classes that it sees.
"""
