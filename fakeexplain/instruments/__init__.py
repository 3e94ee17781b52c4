"""Training-free measurements, one file each; `suite.py` runs them all."""
