"""What a person sees in a terminal: messages, progress, signals."""
