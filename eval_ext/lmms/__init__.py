"""lmms-eval: reward-model benchmarks as tasks, and any judge as a model. `docs/lmms_eval.md` shows both.

`hook` is what lmms-eval finds; `model` is `--model unireward`; `tasks/` holds one YAML file a task; the other modules
are the functions behind them, which know nothing of lmms-eval.
"""
