"""The version of heatstream, in one place."""

__version__ = "0.1.0"
