"""Whether this machine computes in bfloat16 itself; one that does not emulates it, slower than float32."""

from __future__ import annotations

from functools import cache

import torch

_OF_CPU = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # of torch.cpu; a version without them says nothing


@cache
def computes_bf16(device: str) -> bool:
    """`device`: "cuda" or "cpu"."""
    if device == "cuda":
        return bool(torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False))
    return any(getattr(torch.cpu, name, bool)() for name in _OF_CPU)
