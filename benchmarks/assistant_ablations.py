"""What each input of the assistant is worth: stage 2 of equal budget with one of them left out, and inputs swapped.

    python benchmarks/assistant_ablations.py --language-model LM --data SET [SET...] --maps MAPS --out ablations
    python benchmarks/assistant_ablations.py ... --only full,no_map --set max_steps=80    # any setting of the training

Each run trains projector, mask encoder and LoRA from the same beginning, writes its own folder under --out and is
resumed there. What is left out is left out of training and validation alike. Perplexity is per token of held-out
answers, about photographs that were not trained on; "another's map" and "another picture" put those tokens in for the
own ones.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

# name -> (what the table says, what is left out)
VARIANTS = {
    "full": ("everything", "[]"),
    "no_map": ("no mask encoder", "[map]"),
    "no_picture": ("no vision tokens", "[picture]"),
    "no_evidence": ("no evidence text", "[evidence]"),
}
COLUMNS = {
    "answer_perplexity": "own",
    "other_map_perplexity": "another's map",
    "other_picture_perplexity": "another picture",
}


def run(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains one variant and returns its last validation figures."""
    settings = [
        f"language_model_path={arguments.language_model}",
        f"init_from={arguments.init_from or 'null'}",
        f"data.sources=[{','.join(map(str, arguments.data))}]",
        f"data.maps={arguments.maps}",
        f"data.leave_out={VARIANTS[name][1]}",
        f"output_dir={arguments.out / name}",
    ]
    command = [sys.executable, "-m", "training.run", "--config", str(arguments.config), *settings]
    subprocess.run([*command, *arguments.settings], check=True, stdout=sys.stderr)
    lines = (arguments.out / name / "log.jsonl").read_text(encoding="utf-8").splitlines()
    figures: list[dict[str, Any]] = [r["validation"] for r in map(json.loads, lines) if "validation" in r]
    return figures[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--language-model", required=True, help="folder of the frozen language model")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="what stage 2 reads")
    parser.add_argument("--maps", type=Path, required=True, help="of training.expert_maps")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--init-from", type=Path, help="parts to begin with, the same for all; without, at random")
    parser.add_argument("--config", type=Path, default=Path("configs/training/2_instruction.yaml"))
    parser.add_argument("--only", default=",".join(VARIANTS), help="names, comma-separated: " + ", ".join(VARIANTS))
    parser.add_argument("--set", dest="settings", nargs="*", default=[], help="key=value of the training")
    arguments = parser.parse_args()
    rows = {name: run(name, arguments) for name in arguments.only.split(",")}
    print("| trained with | " + " | ".join(COLUMNS.values()) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for name, row in rows.items():
        print(f"| {VARIANTS[name][0]} | " + " | ".join(f"{row[k]:.3f}" if k in row else "" for k in COLUMNS) + " |")


if __name__ == "__main__":
    main()
