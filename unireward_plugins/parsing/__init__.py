"""Readers: from what a judge writes to a verdict. Pure, total, and never a guess.

A reader is made for a reply format with its scale, and called with a reply:

    read = final_score(1, 5)
    read("a dog (animal): 1\\nFinal Score: 3.7").scores     # (0.675,)
    read("I like it.").scores                              # None

Aspects with a slash in their name (`word/dog`, `dimension/clarity`) are named by the judge itself, reply by reply;
the others belong to the format.
"""

from unireward_plugins.parsing.objects import edit_json, flex_json
from unireward_plugins.parsing.reading import Reader
from unireward_plugins.parsing.scores import (
    dim_lines,
    edit_pair_numbers,
    final_score,
    five_dim,
    pair_blocks,
    word_scores,
)
from unireward_plugins.parsing.winners import overall_judgment, think_answer, verdict

__all__ = [
    "Reader",
    "dim_lines",
    "edit_json",
    "edit_pair_numbers",
    "final_score",
    "five_dim",
    "flex_json",
    "overall_judgment",
    "pair_blocks",
    "think_answer",
    "verdict",
    "word_scores",
]
