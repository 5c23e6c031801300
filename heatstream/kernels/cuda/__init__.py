"""The CUDA form of every step: launchers, compiler and device; the sources are in ``src``."""
