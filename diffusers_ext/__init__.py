"""Image and video generation with diffusers: pick the best of several samples by a judge."""

from diffusers_ext.best import BestOf, best_of

__all__ = ["BestOf", "best_of"]
