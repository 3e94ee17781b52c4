"""Splits a data set without leaks: `python -m data_tools.split DATASET.jsonl --out SPLIT.jsonl`.

Pictures that share a photograph (source or donor), a file, or (by perceptual hash) their looks form a group; groups
are never cut. They are dealt out, largest first, to the split that lacks most of what they hold, counted by label and
operation (iterative stratification: Sechidis et al., "On the stratification of multi-label data", 2011, here for
groups). The same records, shares and seed give the same split on every machine. Deliberately left out: moving files.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from data_tools.convert.lists import MANIFEST, list_file
from data_tools.schema import Record, Split, read_jsonl, resolve, write_jsonl
from fakeexplain.errors import FakeExplainError, SettingsError
from fakeexplain.imaging.perceptual import NEAR, Groups, near_pairs, perceptual_hash
from fakeexplain.imaging.source import SourceImage

SPLITS: tuple[Split, ...] = ("train", "val", "test")
Stratum = tuple[str, str]  # label, operation


@dataclass(frozen=True)
class Division:
    """A split: the records with `split` set, in their old order, and how it came about.

    Attributes:
        sizes: records per split. wanted: records per split that the shares ask for, unrounded.
        groups: number of groups. largest: records in the largest one.
        strata: (label, operation) -> records per split.
    """

    records: tuple[Record, ...]
    sizes: dict[str, int]
    wanted: dict[str, float]
    groups: int
    largest: int
    strata: dict[Stratum, dict[str, int]]


def group(
    records: Sequence[Record], hashes: Sequence[int | None], near: int = NEAR, *, donors: bool = True
) -> list[int]:
    """Number of the group of each record: that of its first member.

    Args:
        hashes: perceptual hash per record, None where it is not to be used.
        near: Hamming distance up to which two pictures look alike.
        donors: whether photographs that content was copied from bind too.
    """
    groups = Groups(len(records))
    first: dict[tuple[str, str], int] = {}
    for number, record in enumerate(records):
        names = (record.source, *(record.donor_photographs if donors else ()))
        keys = [("photograph", name) for name in names if name] + [("image", record.image)]
        if record.sha256 is not None:
            keys.append(("sha256", record.sha256))
        for key in keys:
            groups.join(first.setdefault(key, number), number)
    for a, b in near_pairs(hashes, near):
        groups.join(a, b)
    return [groups.find(number) for number in range(len(records))]


def divide(records: Sequence[Record], groups: Sequence[int], shares: dict[Split, float], seed: int) -> Division:
    """Deals groups out to splits.

    Raises:
        SettingsError: no records, or shares that are negative or do not add up to 1.
    """
    if not records:
        raise SettingsError("no records to split")
    if any(share < 0 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-6:
        said = ", ".join(f"{name} {share:g}" for name, share in shares.items())
        raise SettingsError(f"shares {said} add up to {sum(shares.values()):g}; wanted 1, none of them negative")
    strata: list[Stratum] = [(record.label, record.operation) for record in records]
    members: dict[int, list[int]] = {}
    for number, name in enumerate(groups):
        members.setdefault(name, []).append(number)
    used = [name for name in SPLITS if shares.get(name, 0) > 0]
    totals = Counter(strata)
    lacking = {name: {s: shares[name] * count for s, count in totals.items()} for name in used}
    lacking_all = {name: shares[name] * len(records) for name in used}

    def order(name: int) -> tuple[int, str]:
        # Ties are broken by a hash of the seed and the first picture, not by the order of the file.
        first = min(records[i].image for i in members[name])
        return -len(members[name]), hashlib.sha256(f"{seed} {first}".encode()).hexdigest()

    chosen: dict[int, Split] = {}
    for name in sorted(members, key=order):
        held = Counter(strata[i] for i in members[name])

        def gain(split: Split, held: Counter[Stratum] = held) -> tuple[float, float, float]:
            # What is still lacking of these strata, as a share of what the split is to get in all; then of anything.
            filled = sum(min(count, max(lacking[split][s], 0.0)) for s, count in held.items())
            need = sum(count * lacking[split][s] / max(shares[split] * totals[s], 1e-9) for s, count in held.items())
            return filled, need, lacking_all[split] / shares[split]

        best = max(used, key=gain)
        chosen[name] = best
        for s, count in held.items():
            lacking[best][s] -= count
        lacking_all[best] -= len(members[name])
    result = tuple(record.updated(split=chosen[name]) for record, name in zip(records, groups, strict=True))
    sizes = Counter(str(record.split) for record in result)
    by_stratum: dict[Stratum, dict[str, int]] = {s: dict.fromkeys(SPLITS, 0) for s in sorted(totals)}
    for record, stratum in zip(result, strata, strict=True):
        by_stratum[stratum][str(record.split)] += 1
    return Division(
        records=result,
        sizes={name: sizes[name] for name in SPLITS},
        wanted={name: shares.get(name, 0.0) * len(records) for name in SPLITS},
        groups=len(members),
        largest=max(map(len, members.values())),
        strata=by_stratum,
    )


def hashes_of(records: Sequence[Record], root: Path, *, quiet: bool = True) -> list[int | None]:
    """Perceptual hash of each record's picture.

    Raises:
        SourceError: a picture is missing or unreadable (run `data_tools.check` to see all of them).
    """
    described = track(records, description="hashing", disable=quiet, transient=True, console=Console(stderr=True))
    return [perceptual_hash(SourceImage.from_path(resolve(root, r.image), name=r.image).rgb) for r in described]


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


def _show(division: Division, out: Path) -> None:
    console = Console()
    head = f"{out}: {len(division.records)} records in {division.groups} groups"
    console.print(escape(head), highlight=False, soft_wrap=True)
    table = Table()
    for column in ("", *SPLITS):
        table.add_column(column, justify="left" if not column else "right")
    total = len(division.records)
    table.add_row("records", *(f"{division.sizes[n]} ({100 * division.sizes[n] / total:.1f} %)" for n in SPLITS))
    table.add_row("wanted", *(f"{division.wanted[n]:.1f} ({100 * division.wanted[n] / total:.1f} %)" for n in SPLITS))
    for (label, operation), counts in division.strata.items():
        table.add_row(escape(f"{label}, {operation}"), *(str(counts[n]) for n in SPLITS))
    console.print(table)
    console.print(f"largest group: {division.largest} records", highlight=False)
    empty = [n for n in SPLITS if division.wanted[n] > 0 and division.sizes[n] == 0]
    if empty:
        console.print(f"[yellow]warning[/]: nothing in {', '.join(empty)}; too few groups for these shares")
    smallest = min(w for w in division.wanted.values() if w > 0)
    if division.largest > smallest:
        text = (
            "the largest group is larger than the smallest split. Splices tie photographs together: forge each split "
            "from photographs of its own, or use --no-donors; or --near joins pictures wrongly"
        )
        console.print(f"[yellow]warning[/]: {text}", highlight=False)


@app.command()
def main(
    dataset: Annotated[
        Path, typer.Argument(metavar="DATASET", help="Records (.jsonl), or a folder with manifest.jsonl.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="File to write, in the folder of DATASET; default: DATASET itself.")
    ] = None,
    train: Annotated[float, typer.Option(min=0, max=1, help="Share of the records.")] = 0.8,
    val: Annotated[float, typer.Option(min=0, max=1, help="Share of the records.")] = 0.1,
    test: Annotated[float, typer.Option(min=0, max=1, help="Share of the records.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Same seed, same split.")] = 0,
    near: Annotated[
        int, typer.Option(min=0, max=20, help="Bits of 64 in which the hashes of pictures that look alike may differ.")
    ] = NEAR,
    looks: Annotated[
        bool, typer.Option("--looks/--no-looks", help="Group pictures that look alike (decodes every picture).")
    ] = True,
    donors: Annotated[
        bool, typer.Option("--donors/--no-donors", help="Let the photographs that content was copied from bind too.")
    ] = True,
) -> None:
    """Set `split` of every record, so that no photograph is in two splits; state the sizes got."""
    try:
        file = list_file(dataset, MANIFEST)
        target = file if out is None else out
        if target.resolve().parent != file.resolve().parent:
            raise SettingsError(f"--out {target}: must lie beside {file}, because paths in records are relative to it")
        records = list(read_jsonl(file))
        hashes = (
            hashes_of(records, file.parent, quiet=not Console(stderr=True).is_terminal)
            if looks
            else [None] * len(records)
        )
        shares: dict[Split, float] = {"train": train, "val": val, "test": test}
        division = divide(records, group(records, hashes, near, donors=donors), shares, seed)
        write_jsonl(division.records, target)
    except FakeExplainError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2 if isinstance(error, SettingsError) else 1) from None
    _show(division, target)


if __name__ == "__main__":
    app(prog_name="python -m data_tools.split")
