"""Landmark training and measuring: targets, loss, data set, metrics."""
