"""What each part of the expert is worth: runs of equal budget with one part left out, judged on the same samples.

    python benchmarks/expert_ablations.py --photos PHOTOS --init-from runs/alignment/final.safetensors --out ablations
    python benchmarks/expert_ablations.py ... --only full,no_jpeg key=value        # any setting of the training

Each run writes its own folder under --out and is resumed there. The table shows held-out photographs under the trained
mix, then the operation and the codec that were never trained on. Runs this short show what helps at once, not what
helps in the end.
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

# name -> (what the table says, changes to the model, changes to the forge in training; validation is the same for all)
VARIANTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "full": ("everything", {}, {}),
    "no_jpeg": ("no JPEG branch", {"trace": {"jpeg": 0}}, {}),
    "no_filters": ("no high-pass filters", {"trace": {"srm": False, "bayar": 0, "free": 0, "npr": False}}, {}),
    "no_relative": ("no comparison with the rest", {"trace": {"windows": []}}, {}),
    "no_prompt": ("no forgery prompt", {"prompt": None}, {}),
    "no_vision": ("no vision tower, no prompt", {"prompt": None, "vision": None}, {}),
    "no_same_content": ("no same-content edits in training", {}, {"same_content_share": 0.0}),
}


def changed(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with the changes laid over it, group by group."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        result[key] = changed(result.get(key) or {}, value) if isinstance(value, dict) else value
    return result


def run(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains one variant and returns its last row of validation figures."""
    words, changes, forge = VARIANTS[name]
    folder = arguments.out / name
    folder.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_load(arguments.config.read_text(encoding="utf-8"))
    model = changed(yaml.safe_load(Path(config["model"]).read_text(encoding="utf-8")), changes)
    if model.get("vision"):
        model["vision"]["custom"] = str((Path(config["model"]).parent / model["vision"]["custom"]).resolve())
        config["init_from"] = str(arguments.init_from) if arguments.init_from else None
    parts = {"vision": "vision.clip.visual", "prompt": "prompt", "semantic": "semantic"}
    left_out = [
        p for k, p in parts.items() if model.get("vision") is None or (k == "prompt" and not model.get("prompt"))
    ]
    config["train"] = [p for p in config["train"] if p not in left_out]
    if "vision.clip.visual" in left_out:
        config["learning_rate_scale"] = {}
    config["phases"][0]["forge"] = forge
    config.update(model=str(folder / "model.yaml"), output_dir=str(folder / "run"), photos=str(arguments.photos))
    (folder / "model.yaml").write_text(yaml.safe_dump(model), encoding="utf-8")
    (folder / "training.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [sys.executable, "-m", "training.run", "--config", str(folder / "training.yaml"), *arguments.settings]
    subprocess.run(command, check=True, stdout=sys.stderr)
    rows = [json.loads(line) for line in (folder / "run/log.jsonl").read_text(encoding="utf-8").splitlines()]
    return {"words": words, **[r["validation"] for r in rows if "validation" in r][-1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--init-from", type=Path, help="aligned vision encoder; without it, the towers begin at random")
    parser.add_argument("--config", type=Path, default=Path("configs/training/expert_ablation.yaml"))
    parser.add_argument("--only", default=",".join(VARIANTS), help="names, comma-separated: " + ", ".join(VARIANTS))
    parser.add_argument("settings", nargs="*", help="key=value of the training")
    arguments = parser.parse_args()
    rows = {name: run(name, arguments) for name in arguments.only.split(",")}
    keys = [f"{s}/{k}" for s in ("seen", "operation:denoise", "finish:webp") for k in ("f1", "auc")]
    print("| variant | " + " | ".join(keys) + " |")
    print("|---" * (len(keys) + 1) + "|")
    for row in rows.values():
        print(f"| {row['words']} | " + " | ".join(f"{row[k]:.3f}" for k in keys) + " |")


if __name__ == "__main__":
    main()
