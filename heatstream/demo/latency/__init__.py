"""How old results are, measured from the outside: a clock on the screen, filmed by the camera."""
