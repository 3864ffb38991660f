"""Storage: preference data as datasets that anyone loads without this package."""

from hub.asked import Asked, Known, Making, ask_both_ways
from hub.collections import checkpoints, load
from hub.pairs import save_pairs
from hub.scores import save_scores

__all__ = ["Asked", "Known", "Making", "ask_both_ways", "checkpoints", "load", "save_pairs", "save_scores"]
