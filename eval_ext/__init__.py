"""Evaluation: how well judges agree with people, with benchmarks and with themselves.

`evaluate_judge` measures a judge on labelled cases; `eval_ext.metrics` holds the measures, each a pure function.
"""

from eval_ext.agreement import Estimate, Report, evaluate_judge

__all__ = ["Estimate", "Report", "evaluate_judge"]
