"""Parameters and multiply-accumulates of the expert's variants, counted on fake tensors: nothing is computed.

    python benchmarks/expert_sizes.py [configs/model/tiny.yaml ...] [--side 512]

The vision tower's share is that of one view, whatever the picture's size; it is counted within the whole.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from fakeexplain.models.configuration import load_config
from fakeexplain.models.forgery_expert import ForgeryLocalizationExpert
from fakeexplain.models.layers import count_parameters

VARIANTS = ("tiny", "base", "large")


def count(path: Path, side: int) -> tuple[int, int, float]:
    """(all parameters, those of the vision and text towers, GMAC of one forward pass at side x side)."""
    with FakeTensorMode():
        model = ForgeryLocalizationExpert(load_config(path), load_weights=False).eval()
        rgb = torch.empty(1, 3, side, side)
        tables = torch.empty(1, 64)
        view = torch.empty(1, 3, *model.vision.image_size) if model.vision is not None else None
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(rgb, tables, torch.ones(1, dtype=torch.bool), view)
    towers = count_parameters(model.vision) if model.vision is not None else 0
    return count_parameters(model), towers, counter.get_total_flops() / 2e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="*", type=Path, help="default: tiny, base, large")
    parser.add_argument("--side", type=int, default=512, help="pixels, a multiple of 16")
    arguments = parser.parse_args()
    paths = arguments.configs or [Path("configs/model") / f"{name}.yaml" for name in VARIANTS]
    print(f"{'config':28}{'parameters':>14}{'of these towers':>18}{'GMAC':>10}  at {arguments.side} px")
    for path in paths:
        parameters, towers, gmac = count(path, arguments.side)
        print(f"{path.name:28}{parameters:>14,}{towers:>18,}{gmac:>10.2f}")


if __name__ == "__main__":
    main()
