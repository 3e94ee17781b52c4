"""The older forgery benchmarks as released: CASIA 1 and 2, Columbia, COVERAGE, DSO-1. Read only.

Nobody should publish new data in these layouts, so they are not written. Sizes, names and mask codings were checked
against public loaders and lists (see docs/data.md, which says what was and what could not be checked).
"""

from __future__ import annotations

import re
from pathlib import Path

from data_tools.convert.base import (
    BLACK,
    NONZERO,
    Item,
    MaskCoding,
    MaskFile,
    Problems,
    need_folder,
    pair_masks,
    pictures,
    relative,
    stem,
    stem_without,
)
from data_tools.schema import Record

_AUTHENTIC_CASIA = re.compile(r"^Au_([a-z]{3})_?(\d+)$", re.IGNORECASE)
_FORGED_CASIA = re.compile(r"_([a-z]{3}\d{4,5})_([a-z]{3}\d{4,5})_\d+", re.IGNORECASE)


def _casia_sources(name: str) -> tuple[str, tuple[str, ...]]:
    """(source, donors) named in a CASIA file name; ("", ()) where the name does not follow the rule.

    xxx00000 stands for a picture from elsewhere and names nothing.
    """
    authentic = _AUTHENTIC_CASIA.match(name)
    if authentic:
        return f"{authentic[1]}{authentic[2]}".lower(), ()
    forged = _FORGED_CASIA.search(name)
    if forged is None:
        return "", ()
    names = [name for name in (forged[2].lower(), forged[1].lower()) if not name.startswith("xxx")]
    return names[0] if names else "", tuple(name for name in names[1:] if name != names[0])


def _casia_record(image: str, label: str, operation: str | None) -> Record:
    source, donors = _casia_sources(Path(image).stem)
    operations = (operation,) if operation else ()
    return Record.model_validate(
        {"image": image, "label": label, "operations": operations, "source": source, "donors": donors}
    )


def read_casia1(root: Path, problems: Problems) -> list[Item]:
    """Au/, Tp/{Sp,CM}/ and "CASIA 1.0 groundtruth"/{Sp,CM}/<stem>_gt.png; masks are forged where not black."""
    authentic = need_folder(root, ("Au", "CASIA 1.0 dataset/Au"), problems)
    places = ("Tp", "Modified Tp/Tp", "Modified Tp")
    forged = need_folder(root, (*places, *(f"CASIA 1.0 dataset/{name}" for name in places)), problems)
    truth = need_folder(root, ("CASIA 1.0 groundtruth",), problems)
    items = [_authentic_casia(path, root) for path in (pictures(authentic) if authentic else [])]
    if forged is None or truth is None:
        return items
    for kind, operation in (("Sp", "splice"), ("CM", "copy_move")):
        folders = [need_folder(folder, (kind,), problems) for folder in (forged, truth)]
        images, masks = (pictures(folder) if folder else [] for folder in folders)
        paired = pair_masks(images, masks, stem_without("_gt"), stem, root, problems)
        for image, mask in paired.items():
            items.append(
                Item(_casia_record(relative(image, root), "forged", operation), image, MaskFile(mask, NONZERO))
            )
    return items


def _authentic_casia(path: Path, root: Path) -> Item:
    return Item(_casia_record(relative(path, root), "authentic", None), path)


def read_casia2(root: Path, problems: Problems) -> list[Item]:
    """Au/, Tp/ and "CASIA 2 Groundtruth"/<stem>_gt.png; Tp_S_ is copy-move, Tp_D_ a splice; forged where not black."""
    authentic = need_folder(root, ("Au", "CASIA 2.0/Au"), problems)
    forged = need_folder(root, ("Tp", "CASIA 2.0/Tp"), problems)
    truth = need_folder(root, ("CASIA 2 Groundtruth", "CASIA2_groundtruth", "Gt"), problems)
    items = [_authentic_casia(path, root) for path in (pictures(authentic) if authentic else [])]
    if forged is None or truth is None:
        return items
    paired = pair_masks(pictures(forged), pictures(truth), stem_without("_gt"), stem, root, problems)
    for image, mask in paired.items():
        operation = {"tp_s_": "copy_move", "tp_d_": "splice"}.get(image.name[:5].lower())
        if operation is None:
            problems.add(f"{relative(image, root)}: name begins with neither Tp_S_ nor Tp_D_")
            continue
        items.append(Item(_casia_record(relative(image, root), "forged", operation), image, MaskFile(mask, NONZERO)))
    return items


def read_columbia(root: Path, problems: Problems) -> list[Item]:
    """4cam_auth/, 4cam_splc/ and 4cam_splc/edgemask/<stem>_edgemask.jpg.

    The edge masks are coloured JPEGs: one camera's part in reds, the other's in greens, brighter near the boundary. The
    green part counts as the spliced one, as in other loaders; which part was really inserted the set does not say.
    """
    authentic = need_folder(root, ("4cam_auth",), problems)
    forged = need_folder(root, ("4cam_splc",), problems)
    items: list[Item] = []
    for path in pictures(authentic) if authentic else []:
        scene = path.stem.split("_sub_")[0]
        items.append(Item(Record(image=relative(path, root), label="authentic", source=scene), path))
    if forged is None:
        return items
    need_folder(forged, ("edgemask",), problems)
    paired = pair_masks(
        pictures(forged), pictures(forged / "edgemask"), stem_without("_edgemask"), stem, root, problems
    )
    for image, mask in paired.items():
        record = Record(image=relative(image, root), label="forged", operations=("splice",), source=image.stem)
        items.append(Item(record, image, MaskFile(mask, MaskCoding("green"))))
    return items


def read_coverage(root: Path, problems: Problems) -> list[Item]:
    """image/<n>.tif authentic, image/<n>t.tif forged, mask/<n>forged.tif, mask/<n>copy.tif (where it was copied from).

    White is forged. mask/<n>paste.tif (the similar but genuine object) and label/ are not read.
    """
    folder = need_folder(root, ("image",), problems)
    masks = need_folder(root, ("mask",), problems)
    if folder is None or masks is None:
        return []
    items: list[Item] = []
    forged: list[Path] = []
    for path in pictures(folder):
        if re.fullmatch(r"\d+", path.stem):
            items.append(Item(Record(image=relative(path, root), label="authentic", source=path.stem), path))
        elif re.fullmatch(r"\d+t", path.stem):
            forged.append(path)
        else:
            problems.add(f"{relative(path, root)}: name is neither <n>.tif nor <n>t.tif")
    truth = [p for p in pictures(masks) if p.stem.endswith("forged")]
    copies = {p.stem.removesuffix("copy"): p for p in pictures(masks) if p.stem.endswith("copy")}
    paired = pair_masks(forged, truth, stem_without("forged"), stem_without("t"), root, problems)
    for image, mask in paired.items():
        number = image.stem.removesuffix("t")
        record = Record(image=relative(image, root), label="forged", operations=("copy_move",), source=number)
        copied = MaskFile(copies[number]) if number in copies else None
        items.append(Item(record, image, MaskFile(mask), copied))
    return items


def read_dso1(root: Path, problems: Problems) -> list[Item]:
    """DSO-1/{normal,splicing}-*.png and DSO-1-Fake-Images-Masks/splicing-*.png; black is forged."""
    folder = need_folder(root, ("DSO-1", "tifs-database/DSO-1"), problems)
    masks = need_folder(root, ("DSO-1-Fake-Images-Masks", "tifs-database/DSO-1-Fake-Images-Masks"), problems)
    if folder is None or masks is None:
        return []
    items: list[Item] = []
    forged: list[Path] = []
    for path in pictures(folder):
        if path.stem.startswith("normal-"):
            items.append(Item(Record(image=relative(path, root), label="authentic", source=path.stem), path))
        elif path.stem.startswith("splicing-"):
            forged.append(path)
        else:
            problems.add(f"{relative(path, root)}: name begins with neither normal- nor splicing-")
    for image, mask in pair_masks(forged, pictures(masks), stem, stem, root, problems).items():
        record = Record(image=relative(image, root), label="forged", operations=("splice",), source=image.stem)
        items.append(Item(record, image, MaskFile(mask, BLACK)))
    return items
