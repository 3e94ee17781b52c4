"""Prints every problem of a data set at once: `python -m data_tools.check DATASET.jsonl|FOLDER`.

Errors make a set unfit for training or counting (exit code 1); warnings deserve a look. A picture may have several
records as long as they say different things and do not contradict each other. Pictures are decoded and hashed once a
record, records are read as a stream; what is kept in memory is a few hundred bytes a record. Deliberately left out:
mending anything.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from data_tools.convert.base import Problems, pictures
from data_tools.convert.lists import MANIFEST, read_images_masks
from data_tools.schema import (
    IMAGE_TOKEN,
    InlineMask,
    Message,
    Record,
    is_file,
    path_problem,
    read_lines,
    read_mask,
    resolve,
)
from fakeexplain.errors import FakeExplainError, SourceError
from fakeexplain.imaging.perceptual import NEAR, near_pairs, perceptual_hash
from fakeexplain.imaging.source import SourceImage

_CITED = re.compile(r"\[((?:E\d+)(?:\s*[,;]\s*E\d+)*)\]")
# Which role may follow which; None is the beginning.
_NEXT = {
    None: ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("tool", "assistant"),
}


@dataclass(frozen=True)
class Finding:
    """One problem: how bad, where (line of the file, or 0), which picture, of what kind, in words."""

    level: Literal["error", "warning"]
    line: int
    image: str
    kind: str
    text: str


@dataclass
class Report:
    """What a check found. `counts` holds a counter for each of label, operation, split, origin, licence."""

    path: str
    records: int = 0
    findings: list[Finding] = field(default_factory=list)
    counts: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def errors(self) -> int:
        return sum(f.level == "error" for f in self.findings)

    def to_json(self) -> str:
        counts = {name: dict(counter) for name, counter in self.counts.items()}
        findings = [asdict(f) for f in self.findings]
        warnings = len(findings) - self.errors
        data = {"path": self.path, "records": self.records, "errors": self.errors, "warnings": warnings}
        return json.dumps(data | {"counts": counts, "findings": findings}, ensure_ascii=False, indent=1)


@dataclass(frozen=True)
class _Seen:
    """What is remembered of a record to compare it with the others."""

    line: int
    image: str
    label: str
    split: str | None
    source: str
    donors: tuple[str, ...]
    sha256: str | None
    phash: int | None
    content: bytes

    @property
    def picture(self) -> str:
        """What tells pictures apart: the bytes of the file, or its name where it cannot be read."""
        return self.sha256 or self.image


def dialogue_problems(dialogue: tuple[Message, ...], evidence_ids: set[str]) -> Iterator[tuple[str, str]]:
    """(kind, text) for everything wrong with a dialogue; nothing for an empty one."""
    if not dialogue:
        return
    before = None
    for number, message in enumerate(dialogue, start=1):
        if message.role not in _NEXT[before]:
            said = f"follows {before}" if before else "comes first"
            yield "role order", f"turn {number}: {message.role} {said}; wanted {' or '.join(_NEXT[before])}"
        before = message.role
        if not message.content.strip():
            yield "empty turn", f"turn {number} ({message.role}) says nothing"
        cited = set(message.evidence_ids) | {
            name for group in _CITED.findall(message.content) for name in re.findall(r"E\d+", group)
        }
        unknown = sorted(cited - evidence_ids, key=lambda name: (len(name), name))
        if unknown:
            yield "unknown evidence", f"turn {number} cites {', '.join(unknown)}, which the record does not hold"
    if before != "assistant":
        yield "role order", f"ends with {before}; wanted assistant"
    places = [m.role for m in dialogue for _ in range(m.content.count(IMAGE_TOKEN))]
    first_user = next((m for m in dialogue if m.role == "user"), None)
    if places != ["user"] or first_user is None or IMAGE_TOKEN not in first_user.content:
        yield "placeholder", f"{len(places)} {IMAGE_TOKEN}; wanted one, in the first user turn"


def _mask_problems(record: Record, root: Path, height: int, width: int) -> Iterator[tuple[str, str]]:
    for name in ("mask", "donor_mask"):
        value: str | InlineMask | None = getattr(record, name)
        if value is None or (isinstance(value, str) and path_problem(value)):
            continue
        try:
            mask = read_mask(value, root)
        except SourceError as error:
            yield "mask", f"{name}: {error}"
            continue
        if mask.shape != (height, width):
            yield "mask size", f"{name} is {mask.shape[1]}x{mask.shape[0]}, the picture {width}x{height} pixels"
        marked = bool(mask.any())
        if name == "mask" and record.label == "forged" and not marked:
            yield "empty mask", "is forged, but its mask marks nothing"
        if name == "mask" and record.label == "authentic" and marked:
            yield "mask on authentic", "is authentic, but its mask marks something"
        if name == "mask" and record.label == "forged" and bool(np.all(mask)):
            yield "full mask", "mask marks the whole picture; inverted, or no local forgery"


def _region_problems(record: Record, root: Path, height: int, width: int) -> Iterator[tuple[str, str]]:
    for number, message in enumerate(record.dialogue, start=1):
        region = message.region
        if region is None:
            continue
        if region.box_xyxy is not None:
            x0, y0, x1, y1 = region.box_xyxy
            if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
                yield "region", f"turn {number}: box {region.box_xyxy} is empty or outside {width}x{height} pixels"
        if region.mask is not None:
            try:
                mask = read_mask(region.mask, root)
            except SourceError as error:
                yield "region", f"turn {number}: {error}"
                continue
            if mask.shape != (height, width):
                yield "region", f"turn {number}: mask is {mask.shape[1]}x{mask.shape[0]}, not {width}x{height} pixels"


def record_problems(record: Record, root: Path) -> tuple[list[tuple[str, str]], str | None, int | None]:
    """Everything wrong with one record by itself as (kind, text), the file's sha256 and its perceptual hash."""
    found: list[tuple[str, str]] = []
    for value in (record.image, record.mask, record.donor_mask):
        if isinstance(value, str) and (problem := path_problem(value)):
            found.append(("path", f"{value} {problem}"))
    if record.label == "forged" and record.mask is None:
        found.append(("no mask", "is forged and has no mask"))
    ids = [item.id for item in record.evidence]
    doubled = sorted(name for name, count in Counter(ids).items() if count > 1)
    if doubled:
        found.append(("evidence", f"evidence ids used twice: {', '.join(doubled)}"))
    found += dialogue_problems(record.dialogue, set(ids))
    if path_problem(record.image):
        return found, None, None
    try:
        path = resolve(root, record.image)
        if not is_file(path):
            return [*found, ("missing file", "does not exist")], None, None
        source = SourceImage.from_path(path, name="picture")
    except FakeExplainError as error:
        return [*found, ("unreadable", str(error))], None, None
    if record.sha256 is not None and record.sha256 != source.sha256:
        found.append(("sha256", f"sha256 is {source.sha256}, the record says {record.sha256}"))
    said = (record.width or source.width, record.height or source.height)
    if said != (source.width, source.height):
        found.append(("size", f"is {source.width}x{source.height} pixels, the record says {said[0]}x{said[1]}"))
    found += _mask_problems(record, root, source.height, source.width)
    found += _region_problems(record, root, source.height, source.width)
    return found, source.sha256, perceptual_hash(source.rgb)


def _content(record: Record, root: Path) -> bytes:
    """Digest of what a record says of its picture: mask, dialogue, caption and description.

    Masks count by their pixels, so that a copied one under another name is the same; unreadable ones by the field.
    """
    mask: object = record.mask
    if record.mask is not None and not (isinstance(record.mask, str) and path_problem(record.mask)):
        try:
            marked = read_mask(record.mask, root)
            mask = (marked.shape, hashlib.sha256(np.packbits(marked).tobytes()).hexdigest())
        except SourceError:
            pass  # told by `record_problems`
    texts = record.model_dump_json(include={"dialogue", "caption", "description"})
    return hashlib.sha256(f"{mask!r}\n{texts}".encode()).digest()


# Kinds that leave a set usable.
_WARNINGS = {"no mask", "full mask", "near-duplicates", "donor leak"}


def _finding(line: int, image: str, kind: str, text: str) -> Finding:
    return Finding("warning" if kind in _WARNINGS else "error", line, image, kind, text)


def _in_line(item: _Seen) -> str:
    return f" (line {item.line})" if item.line else ""


def _apart(a: _Seen, b: _Seen) -> bool:
    return a.split is not None and b.split is not None and a.split != b.split


def _compare(seen: list[_Seen], near: int) -> Iterator[Finding]:
    """Problems between records: one record twice, records of one picture that contradict each other or lie in several
    splits, and pictures of one photograph in several splits."""
    firsts: dict[str, _Seen] = {}
    labelled: dict[str, _Seen] = {}
    said: dict[tuple[str, bytes], _Seen] = {}
    by_name: dict[str, dict[str, _Seen]] = {}
    for item in seen:
        first = firsts.setdefault(item.picture, item)
        same = said.setdefault((item.picture, item.content), item)
        apart = f"in another split ({first.split}, {item.split})" if _apart(first, item) else ""
        if same is not item:
            what = "is named twice" if same.image == item.image else f"is the same file as {same.image}"
            text = f"{what}{_in_line(same)}, with the same mask and texts{', and ' if apart else ''}{apart}"
            yield _finding(item.line, item.image, "duplicate", text)
        elif apart and not (item.source and item.source == first.source):  # else it is told of the photograph below
            text = f"is the same picture as {first.image}{_in_line(first)}, {apart}"
            yield _finding(item.line, item.image, "leak", text)
        if item.label != "unknown":
            other = labelled.setdefault(item.picture, item)
            if other.label != item.label:
                text = f"is {item.label}, but {other.label} as {other.image}{_in_line(other)}; it is one picture"
                yield _finding(item.line, item.image, "contradiction", text)
        if item.split is not None and item.source:
            by_name.setdefault(item.source, {}).setdefault(item.split, item)
    for name, splits in sorted(by_name.items()):
        if len(splits) > 1:
            places = ", ".join(f"{split}: {item.image}" for split, item in sorted(splits.items()))
            item = next(iter(splits.values()))
            yield _finding(item.line, item.image, "leak", f"photograph {name} is in several splits ({places})")
    for item in seen:
        for name in item.donors if item.split is not None else ():
            others = sorted(set(by_name.get(name, {})) - {item.split})
            if others:
                text = f"content of photograph {name} is copied here, in {item.split}; it is in {', '.join(others)} too"
                yield _finding(item.line, item.image, "donor leak", text)
    pictures_once = list(firsts.values())
    for a, b in near_pairs([item.phash for item in pictures_once], near):
        one, two = pictures_once[a], pictures_once[b]
        if _apart(one, two) and not (one.source and one.source == two.source):
            text = f"looks like {two.image} of another split ({one.split}, {two.split})"
            yield _finding(one.line, one.image, "near-duplicates", text)


def _listed(path: Path) -> tuple[Path, list[tuple[int, Record | str]] | None, list[str]]:
    """(folder of the files, records where no file lists them, problems of the tree)."""
    if path.is_file() or (path / MANIFEST).is_file():
        return (path.parent if path.is_file() else path), None, []
    if not path.is_dir():
        raise SourceError(f"{path}: no such file or folder; wanted records (.jsonl), or a folder with {MANIFEST}")
    if not (path / "images").is_dir():
        names = [p.name for p in pictures(path)]
        if not names:
            raise SourceError(f"{path}: neither {MANIFEST}, nor images/ (and masks/), nor pictures in it")
        return path, [(0, Record(image=name)) for name in names], []
    problems = Problems(path)
    records: list[tuple[int, Record | str]] = []
    for item in read_images_masks(path, problems, None):
        mask = f"masks/{item.mask.path.name}" if item.mask is not None else None  # type: ignore[union-attr]
        records.append((0, item.record.updated(mask=mask)))
    return path, records, problems.texts


def check(path: Path, *, near: int = NEAR, quiet: bool = True) -> Report:
    """Checks records (.jsonl), a folder with a manifest, or one with images/ and masks/.

    Raises:
        SourceError: there is nothing to check, or the list cannot be read.
    """
    root, listed, texts = _listed(path)
    file = path if path.is_file() else path / MANIFEST
    report = Report(str(path), counts={k: Counter() for k in ("label", "operation", "split", "origin", "licence")})
    report.findings += [_finding(0, "", "unpaired", text) for text in texts]
    seen: list[_Seen] = []
    lines = read_lines(file) if listed is None else iter(listed)
    for line, record in track(
        lines, description="checking", disable=quiet, transient=True, console=Console(stderr=True)
    ):
        report.records += 1
        if isinstance(record, str):
            report.findings.append(_finding(line, "", "record", record))
            continue
        found, sha256, phash = record_problems(record, root)
        report.findings += [_finding(line, record.image, kind, text) for kind, text in found]
        names = record.source, record.donor_photographs
        told = record.image, record.label, record.split
        seen.append(_Seen(line, *told, *names, sha256, phash, _content(record, root)))
        report.counts["label"][record.label] += 1
        report.counts["operation"].update(record.operations or ("none",))
        report.counts["split"][record.split or "none"] += 1
        report.counts["origin"][record.origin or "not stated"] += 1
        report.counts["licence"].update(record.licence or ("not stated",))
    if report.records == 0:
        report.findings.append(_finding(0, "", "empty", "holds no records"))
    report.findings += _compare(seen, near)
    report.findings.sort(key=lambda f: (f.level, f.line))
    return report


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


def _show(report: Report) -> None:
    out = Console()
    for found in report.findings:
        where = " ".join(x for x in (f"line {found.line}" if found.line else "", found.image) if x)
        style = "red" if found.level == "error" else "yellow"
        text = escape(f"{where}: {found.text}" if where else found.text)
        out.print(f"[{style}]{found.level}[/] ({found.kind}) {text}", highlight=False, soft_wrap=True)
    out.print(escape(f"{report.path}: {report.records} records"), highlight=False, soft_wrap=True)
    table = Table()
    for column in ("", "value", "records", "share"):
        table.add_column(column, justify="right" if column in ("records", "share") else "left")
    for name, counter in report.counts.items():
        for value, count in counter.most_common(12):
            table.add_row(name, escape(value), str(count), f"{100 * count / max(report.records, 1):.1f} %")
        if len(counter) > 12:
            table.add_row(name, f"{len(counter) - 12} more", "", "")
    out.print(table)
    kinds = Counter((f.level, f.kind) for f in report.findings)
    summed = ", ".join(f"{count} {kind}" for (_, kind), count in kinds.most_common())
    warnings = len(report.findings) - report.errors
    out.print(f"{report.errors} errors, {warnings} warnings" + (f": {summed}" if summed else ""), highlight=False)


@app.command()
def main(
    dataset: Annotated[
        Path, typer.Argument(metavar="DATASET", help="Records (.jsonl), or a folder with manifest.jsonl or images/.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    near: Annotated[int, typer.Option(min=0, max=20, help="Bits in which near-duplicates may differ.")] = NEAR,
) -> None:
    """Name every problem of a data set. Exit code 1 when there are errors, 2 when there is nothing to check.

    Looked for: unreadable lines, files that are missing or unreadable, wrong sha256 or size, paths that are absolute or
    lead out, masks that are empty, full, of another size or on authentic pictures, records that occur twice, pictures
    that are called both authentic and forged, photographs in several splits, roles out of order, misplaced <image>,
    regions outside the picture, citations of evidence that is not there.
    """
    try:
        report = check(dataset, near=near, quiet=as_json or not Console(stderr=True).is_terminal)
    except FakeExplainError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(report.to_json())
    else:
        _show(report)
    if report.errors:
        raise typer.Exit(1)


if __name__ == "__main__":
    app(prog_name="python -m data_tools.check")
