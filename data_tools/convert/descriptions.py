"""Sets with descriptions of the forgery, read and written: FakeShield's (MMTD-Set) and SIDA's (SID-Set).

Both releases part pictures, masks and texts into folders and files; here they come together as `Record.description`.
Which details could be verified, and which not (the fields of MMTD-Set-34k.json), stands in docs/data.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_tools.convert.base import (
    NONZERO,
    Item,
    MaskFile,
    Problems,
    Ready,
    need_folder,
    pair_masks,
    pictures,
    relative,
    stem,
    write_text,
)
from data_tools.convert.lists import load_json
from data_tools.schema import IMAGE_TOKEN, Record
from fakeexplain.errors import SourceError

_SIDA_SPLITS = {"train": "train", "validation": "val", "test": "test"}
_SIDA_TEXTS = "text_label_images/description"
FULL_SYNTHETIC = "full_synthetic"


def _texts(entry: Any) -> tuple[str, str]:
    """(picture, description) of an entry of FakeShield's JSON: {"image", "query", "outputs"} or LLaVA's form.

    Raises ValueError where it is neither.
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("image"), str):
        raise ValueError('no "image"')
    if isinstance(entry.get("outputs"), str):
        return entry["image"], entry["outputs"]
    turns = entry.get("conversations")
    if isinstance(turns, list):
        answers = [str(t.get("value", "")) for t in turns if isinstance(t, dict) and t.get("from") == "gpt"]
        if answers:
            return entry["image"], "\n".join(answers)
    raise ValueError('neither "outputs" nor "conversations" with an answer of gpt')


def _match(name: str, by_file: dict[str, list[str]]) -> str:
    """The picture (path below the root) that a foreign path names: the one with the longest common end.

    Raises ValueError where there is none, or several that fit equally well.
    """
    wanted = name.replace("\\", "/").split("/")
    candidates = by_file.get(wanted[-1], [])
    if not candidates:
        raise ValueError(f"{name}: no such picture in any image/ folder")

    def common(path: str) -> int:
        count = 0
        for ours, theirs in zip(reversed(path.split("/")), reversed(wanted), strict=False):
            if ours != theirs:
                break
            count += 1
        return count

    best = max(common(c) for c in candidates)
    fitting = [c for c in candidates if common(c) == best]
    if len(fitting) > 1:
        raise ValueError(f"{name}: could be {' or '.join(fitting)}")
    return fitting[0]


def read_fakeshield(path: Path, problems: Problems, images: Path | None) -> list[Item]:
    """Any folders <set>/image/ with, where forged, <set>/mask/<same stem>.png; texts from *.json below PATH.

    A set with a mask/ folder is forged and must have a mask for every picture; one without is authentic. White is
    forged (FakeShield's loader takes the value 255 alone). `query` is not kept: it is drawn from a fixed list.
    """
    folders = sorted(p for p in path.rglob("image") if p.is_dir()) if path.is_dir() else []
    if not folders:
        problems.add("no folder image/ anywhere in it")
    rows: dict[str, tuple[Path, Path | None]] = {}
    for folder in folders:
        found = pictures(folder)
        truth = folder.parent / "mask"
        if not truth.is_dir():
            rows |= {relative(p, path): (p, None) for p in found}
            continue
        paired = pair_masks(found, pictures(truth), stem, stem, path, problems)
        rows |= {relative(p, path): (p, mask) for p, mask in paired.items()}
    by_file: dict[str, list[str]] = {}
    for name in rows:
        by_file.setdefault(name.split("/")[-1], []).append(name)
    descriptions: dict[str, str] = {}
    for file in sorted(path.rglob("*.json")):
        entries = load_json(file)
        if not isinstance(entries, list):
            problems.add(f"{relative(file, path)}: holds a {type(entries).__name__}, wanted a list")
            continue
        # Texts lie in the set's own folder, or (MMTD_Set/) beside all of them.
        below = relative(file.parent, path) + "/" if (file.parent / "image").is_dir() and file.parent != path else ""
        scope = {k: [n for n in names if n.startswith(below)] for k, names in by_file.items()}
        for number, entry in enumerate(entries, start=1):
            try:
                name, text = _texts(entry)
                descriptions[_match(name, scope)] = text
            except ValueError as error:
                problems.add(f"{relative(file, path)}: entry {number}: {error}")
    items: list[Item] = []
    for name, (image, mask) in rows.items():
        record = Record(
            image=name, label="authentic" if mask is None else "forged", description=descriptions.get(name, "")
        )
        items.append(Item(record, image, None if mask is None else MaskFile(mask)))
    return items


def write_fakeshield(ready: Iterator[Ready], root: Path) -> None:
    """Tp/{image,mask}, Au/image and, where there are texts, in each a lisa_train_gt.json: "image", "query", "outputs".

    Files keep their kind; FakeShield's own loader looks for *.jpg pictures only.
    """
    query = f"{IMAGE_TOKEN}\nHas this picture been altered? Say where and how one can tell."
    texts: dict[str, list[dict[str, str]]] = {"Tp": [], "Au": []}
    for item in ready:
        part = "Tp" if item.record.label == "forged" else "Au"
        name = item.save_image(root, f"{part}/image")
        if part == "Tp" and item.mask is not None:
            item.save_mask(root, "Tp/mask", item.mask)
        if item.record.description:
            texts[part].append({"image": name.split("/")[-1], "query": query, "outputs": item.record.description})
    for part, entries in texts.items():
        if entries:
            write_text(root / part / "lisa_train_gt.json", json.dumps(entries, indent=1, ensure_ascii=False) + "\n")


def _sida_texts(root: Path, folder: str, problems: Problems) -> dict[str, str]:
    """File name -> description from descriptions_GPT.txt: blocks of "Image: name", "Description:" and the text."""
    file = root / _SIDA_TEXTS / folder / "descriptions_GPT.txt"
    if not file.is_file():
        return {}
    texts: dict[str, list[str]] = {}
    current: list[str] | None = None
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise SourceError(f"{file}: cannot be read ({error})") from None
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text.startswith("Image:"):
            current = texts.setdefault(text.removeprefix("Image:").strip(), [])
            continue
        text = text.removeprefix("Description:").strip()
        if text and current is None:
            problems.add(f"{relative(file, root)}: line {number}: text before the first Image: line")
        elif text and current is not None:
            current.append(text)
    return {name: "\n".join(lines) for name, lines in texts.items()}


def read_sida(path: Path, problems: Problems, images: Path | None) -> list[Item]:
    """{train,validation,test}/{real,full_synthetic,tampered,masks}/ and text_label_images/description/<class>/.

    Masks are named <stem>_mask.png or <stem>.png, forged where not black. A fully generated picture has no forged part:
    it becomes label unknown with the operation "full_synthetic".
    """
    splits = [name for name in _SIDA_SPLITS if (path / name).is_dir()]
    if not splits:
        problems.add(f"no folder {' or '.join(f'{name}/' for name in _SIDA_SPLITS)}")
    texts = {folder: _sida_texts(path, folder, problems) for folder in ("real", FULL_SYNTHETIC, "tampered")}
    used: set[tuple[str, str]] = set()
    items: list[Item] = []
    for split in splits:
        base = path / split
        folders = {n: need_folder(base, (n,), problems) for n in ("real", FULL_SYNTHETIC, "tampered")}
        masks: dict[Path, Path] = {}
        if folders["tampered"] is not None:
            need_folder(base, ("masks",), problems)
            name_of = {p: p.stem.removesuffix("_mask") for p in pictures(base / "masks")}
            forged = pictures(base / "tampered")
            masks = pair_masks(forged, list(name_of), name_of.__getitem__, stem, path, problems)
        for folder in folders:
            for image in pictures(base / folder):
                if folder == "tampered" and image not in masks:
                    continue
                used.add((folder, image.name))
                row: dict[str, Any] = {
                    "image": relative(image, path),
                    "label": {"real": "authentic", "tampered": "forged"}.get(folder, "unknown"),
                    "operations": (FULL_SYNTHETIC,) if folder == FULL_SYNTHETIC else (),
                    "split": _SIDA_SPLITS[split],
                    "description": texts[folder].get(image.name, ""),
                }
                mask = MaskFile(masks[image], NONZERO) if image in masks else None
                items.append(Item(Record.model_validate(row), image, mask))
    for folder, described in texts.items():
        for name in described:
            if splits and (folder, name) not in used:
                problems.add(f"{_SIDA_TEXTS}/{folder}/descriptions_GPT.txt: {name}: no such picture")
    return items


def refuse_for_sida(record: Record, has_mask: bool) -> str | None:
    """Why SIDA's layout cannot hold a record; None where it can."""
    if record.label == "authentic" or (record.label == "forged" and has_mask) or FULL_SYNTHETIC in record.operations:
        return None
    return "forged without a mask" if record.label == "forged" else "label unknown"


def write_sida(ready: Iterator[Ready], root: Path) -> None:
    """Pictures without a split go to train/."""
    words = {ours: theirs for theirs, ours in _SIDA_SPLITS.items()}
    blocks: dict[str, list[str]] = {"real": [], FULL_SYNTHETIC: [], "tampered": []}
    for item in ready:
        split = words[item.record.split or "train"]
        folder = "real" if item.record.label == "authentic" else "tampered"
        if FULL_SYNTHETIC in item.record.operations:
            folder = FULL_SYNTHETIC
        name = item.save_image(root, f"{split}/{folder}").split("/")[-1]
        if folder == "tampered" and item.mask is not None:
            item.save_mask(root, f"{split}/masks", item.mask, suffix="_mask")
        if item.record.description:
            blocks[folder].append(f"Image: {name}\nDescription:\n{item.record.description}\n\n")
    for split in words.values():
        if (root / split).is_dir():
            for folder in (*blocks, "masks"):
                (root / split / folder).mkdir(exist_ok=True)
    for folder, texts in blocks.items():
        if texts:
            write_text(root / _SIDA_TEXTS / folder / "descriptions_GPT.txt", "".join(texts))
