"""Networks as pure tensors: no files, no numpy, no thresholds (see `processing` for the edge to numpy)."""
