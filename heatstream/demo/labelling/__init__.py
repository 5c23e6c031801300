"""Labels from a network: what ``heatstream label`` writes for people to correct, and for training to learn from."""
