"""The streaming runtime: sources -> pipeline -> sinks, with an engine in the middle."""
