"""``python -m heatstream``."""

from heatstream.demo.cli import main

main()
