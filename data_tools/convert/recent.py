"""The newer forgery benchmarks as released: NIST16, IMD2020, Korus, CocoGlide, AutoSplice. Read only.

Names, tables and mask codings were checked against public loaders and lists; docs/data.md says which of them.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from data_tools.convert.base import (
    BLACK,
    NONZERO,
    WHITE,
    Item,
    MaskCoding,
    MaskFile,
    Problems,
    inside,
    need_folder,
    pair_masks,
    pictures,
    relative,
    stem,
    stem_without,
)
from data_tools.schema import Record, is_file
from fakeexplain.errors import SourceError

KORUS_CAMERAS = ("Canon_60D", "Nikon_D90", "Nikon_D7000", "Sony_A57")
# Grey levels: 0 untouched, a middle one and white for the kinds of tampering. All tampering counts.
KORUS_CODING = MaskCoding("at_least", 11)
_NIST_KINDS = {
    "IsManipulationTypeSplice": "splice",
    "IsManipulationTypeCopyClone": "copy_move",
    "IsManipulationTypeRemoval": "removal",
}


def _table(path: Path, delimiter: str, problems: Problems, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Rows of a CSV file; a problem and [] where it is missing or lacks a column."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [{str(k): str(v or "") for k, v in row.items()} for row in csv.DictReader(file, delimiter=delimiter)]
    except (OSError, ValueError, csv.Error) as error:
        problems.add(f"{path.name}: cannot be read ({error})")
        return []
    missing = [name for name in columns if rows and name not in rows[0]]
    if not rows or missing:
        problems.add(f"{path.name}: {'no column ' + ', '.join(missing) if missing else 'no rows'}")
        return []
    return rows


def read_nist16(root: Path, problems: Problems) -> list[Item]:
    """probe/, world/ and reference/manipulation/NC2016-manipulation-ref.csv (fields parted by |); black is forged.

    The table pairs picture and mask; their names differ. IsTarget N rows are authentic.
    """
    reference = root / "reference/manipulation/NC2016-manipulation-ref.csv"
    items: list[Item] = []
    seen: set[str] = set()
    for row in _table(reference, "|", problems, ("ProbeFileName", "ProbeMaskFileName", "IsTarget")):
        name, mask_name, base = row["ProbeFileName"], row["ProbeMaskFileName"], row.get("BaseFileName", "")
        if name in seen:
            problems.add(f"{name}: named twice in {reference.name}")
            continue
        seen.add(name)
        try:
            image = inside(root, name)
            mask = inside(root, mask_name) if mask_name else None
        except SourceError as error:
            problems.add(str(error))
            continue
        forged = row["IsTarget"].strip().upper() in ("Y", "TRUE", "1")
        if not is_file(image):
            problems.add(f"{name}: named in {reference.name}, does not exist")
            continue
        if forged and (mask is None or not is_file(mask)):
            problems.add(f"{name}: mask {mask_name or '(none named)'} does not exist")
            continue
        kinds = tuple(kind for column, kind in _NIST_KINDS.items() if row.get(column, "").strip().upper() == "Y")
        record = Record(
            image=name.replace("\\", "/"),
            label="forged" if forged else "authentic",
            operations=kinds if forged else (),
            source=Path(base.replace("\\", "/")).stem or image.stem,
        )
        items.append(Item(record, image, MaskFile(mask, BLACK) if forged and mask else None))
    return items


def read_imd2020(root: Path, problems: Problems) -> list[Item]:
    """One folder a photograph: <name>_orig.jpg, edited ones <name>_0.png, ... and <edited>_mask.png; forged where not
    black."""
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")) if root.is_dir() else []
    items: list[Item] = []
    if not any(pictures(folder) for folder in folders):
        problems.add("no folders with pictures; wanted one a photograph, with <name>_orig.jpg and <edited>_mask.png")
    for folder in folders:
        files = pictures(folder)
        originals = [p for p in files if p.stem.endswith("_orig")]
        masks = [p for p in files if p.stem.endswith("_mask")]
        edited = [p for p in files if p not in originals and p not in masks]
        if files and not originals:
            problems.add(f"{folder.name}: no *_orig picture")
        for path in originals:
            items.append(Item(Record(image=relative(path, root), label="authentic", source=folder.name), path))
        for image, mask in pair_masks(edited, masks, stem_without("_mask"), stem, root, problems).items():
            record = Record(image=relative(image, root), label="forged", source=folder.name)
            items.append(Item(record, image, MaskFile(mask, NONZERO)))
    return items


def read_korus(root: Path, problems: Problems) -> list[Item]:
    """<camera>/{pristine,tampered-realistic,ground-truth}/<same stem>; three grey levels, all but black are forged."""
    base = root / "data-images" if (root / "data-images").is_dir() else root
    cameras = [name for name in KORUS_CAMERAS if (base / name).is_dir()]
    if not cameras:
        problems.add(f"no folder {' or '.join(f'{name}/' for name in KORUS_CAMERAS)}")
    items: list[Item] = []
    for camera in cameras:
        folders = {
            n: need_folder(base / camera, (n,), problems) for n in ("pristine", "tampered-realistic", "ground-truth")
        }
        if None in folders.values():
            continue
        for path in pictures(base / camera / "pristine"):
            record = Record(image=relative(path, root), label="authentic", source=f"{camera}-{path.stem}")
            items.append(Item(record, path))
        forged, truth = pictures(base / camera / "tampered-realistic"), pictures(base / camera / "ground-truth")
        for image, mask in pair_masks(forged, truth, stem, stem, root, problems).items():
            record = Record(image=relative(image, root), label="forged", source=f"{camera}-{image.stem}")
            items.append(Item(record, image, MaskFile(mask, KORUS_CODING)))
    return items


def read_cocoglide(root: Path, problems: Problems) -> list[Item]:
    """real/, fake/, mask/ and table.csv (columns real, fake, mask, prompt); white is forged.

    The three names of a row differ, so that only the table pairs them.
    """
    items: list[Item] = []
    seen: set[str] = set()
    named: set[Path] = set()
    for row in _table(root / "table.csv", ",", problems, ("real", "fake", "mask")):
        try:
            real, fake, mask = (inside(root, row[key]) for key in ("real", "fake", "mask"))
        except SourceError as error:
            problems.add(str(error))
            continue
        missing = [row[k] for k, p in (("real", real), ("fake", fake), ("mask", mask)) if not is_file(p)]
        for name in missing:
            problems.add(f"{name}: named in table.csv, does not exist")
        if missing:
            continue
        named |= {real, fake}
        number = re.search(r"_(\d+)(?:_up)?$", fake.stem)
        source = number[1] if number else fake.stem
        if row["real"] not in seen:
            items.append(Item(Record(image=row["real"], label="authentic", source=source), real))
        seen.add(row["real"])
        history = ({"operation": "inpaint_generative", "prompt": row["prompt"]},) if row.get("prompt") else ()
        record = Record(
            image=row["fake"], label="forged", operations=("inpaint_generative",), source=source, history=history
        )
        items.append(Item(record, fake, MaskFile(mask, WHITE)))
    for folder in ("real", "fake"):
        for path in pictures(root / folder):
            if named and path.resolve() not in named:
                problems.add(f"{relative(path, root)}: not named in table.csv")
    return items


def read_autosplice(root: Path, problems: Problems) -> list[Item]:
    """Authentic/<id>.jpg, Forged_JPEG{100,90,75}/<id>_<k>.jpg and Mask/<id>_mask.png (one mask for all edits of an id);
    forged where not black."""
    authentic = need_folder(root, ("Authentic",), problems)
    masks = need_folder(root, ("Mask",), problems)
    qualities = [q for q in ("100", "90", "75") if (root / f"Forged_JPEG{q}").is_dir()]
    if not qualities:
        problems.add("no folder Forged_JPEG100/ or Forged_JPEG90/ or Forged_JPEG75/")
    items: list[Item] = []
    for path in pictures(authentic) if authentic else []:
        items.append(Item(Record(image=relative(path, root), label="authentic", source=path.stem), path))
    truth = {p.stem.removesuffix("_mask"): p for p in (pictures(masks) if masks else [])}
    used: set[str] = set()
    for quality in qualities:
        for path in pictures(root / f"Forged_JPEG{quality}"):
            name = path.stem.split("_")[0]
            used.add(name)
            if name not in truth:
                problems.add(f"{relative(path, root)}: no mask")
                continue
            record = Record(
                image=relative(path, root),
                label="forged",
                operations=("inpaint_generative",),
                source=name,
                jpeg_quality=int(quality),
                strata={"jpeg_quality": quality},
            )
            items.append(Item(record, path, MaskFile(truth[name], NONZERO)))
    for name, path in truth.items():
        if qualities and name not in used:
            problems.add(f"{relative(path, root)}: mask without a picture")
    return items
