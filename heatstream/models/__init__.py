"""PyTorch networks, their training targets and losses; needs the `train` extra. Importing the package loads nothing."""
