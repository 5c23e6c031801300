"""Runs that end in every way there is, in processes of their own: a few as tests, a hundred by hand."""
