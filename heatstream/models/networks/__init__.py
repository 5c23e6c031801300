"""The networks, one family a module."""
