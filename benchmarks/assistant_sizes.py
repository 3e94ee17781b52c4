"""Parameters and memory of the assistant's configurations, counted on the meta device; nothing is downloaded.

python benchmarks/assistant_sizes.py [configs/model/assistant_default.yaml ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

from fakeexplain.models.assistant_configuration import load_assistant_config
from fakeexplain.models.assistant_sizes import sizes, table
from fakeexplain.models.configuration import load_config
from fakeexplain.models.forgery_expert import ForgeryLocalizationExpert
from fakeexplain.models.layers import count_parameters

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "model"


def main() -> None:
    """One table for each configuration, and what the embedded default takes on disk."""
    paths = [Path(a) for a in sys.argv[1:]] or [
        CONFIGS / f"assistant_{n}.yaml" for n in ("default", "llama7b", "qwen7b")
    ]
    expert = ForgeryLocalizationExpert(load_config(CONFIGS / "tiny.yaml"))
    stored = 2 * sum(v.numel() for v in expert.state_dict().values())
    print(f"expert (tiny.yaml): {count_parameters(expert) / 1e6:.3f} M parameters, {stored / 1e6:.2f} MB in float16")
    for path in paths:
        rows = sizes(load_assistant_config(path))
        print(f"\n## {path.stem}\n\n{table(rows)}")
        merged = 2 * sum(r.parameters for r in rows if not r.name.startswith(("LoRA", "SAM")))
        print(f"\nmerged, in float16, with the expert: {(merged + stored) / 1e6:,.1f} MB on disk")


if __name__ == "__main__":
    main()
