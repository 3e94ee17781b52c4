"""Command modules; `cli.py` registers them."""
