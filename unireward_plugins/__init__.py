"""UnifiedReward, and any other judge, where people train and measure multimodal models."""
