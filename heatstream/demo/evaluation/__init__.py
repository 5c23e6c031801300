"""Measuring models on photographs, and what is printed of it."""
