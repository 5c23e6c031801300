"""The CPU form of every step, in NumPy: the specification of its CUDA form."""
