"""Storage: preference pairs as datasets that anyone loads without this package."""

from hub.pairs import save_pairs

__all__ = ["save_pairs"]
