"""BagIt 1.0 bags (RFC 8493): a folder with its payload under data/, sha256 manifests, and a description.

Any BagIt tool can validate them. Written here and not with the `bagit` package, whose current release comes as a source
archive only and whose last wheel needs a module that setuptools has dropped; tests check against that package. Left
out: fetch.txt, other hashes, serialised bags (zip or tar one with any tool).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import fakeexplain
from fakeexplain.casework.sealing import sha256_of
from fakeexplain.casework.storage import hash_regular, read_regular, shown

DECLARATION = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
MANIFEST, TAG_MANIFEST, INFO, BAGIT = "manifest-sha256.txt", "tagmanifest-sha256.txt", "bag-info.txt", "bagit.txt"


def manifest_of(hashes: Mapping[str, str]) -> bytes:
    """Lines "SHA256  NAME" sorted by name, line ends and per cent signs in names encoded as the RFC asks."""

    def encoded(name: str) -> str:
        return name.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

    return "".join(f"{hashes[n]}  {encoded(n)}\n" for n in sorted(hashes)).encode()


def bag_files(payload: Mapping[str, bytes | Path], info: Mapping[str, str]) -> dict[str, bytes | Path]:
    """All files of a bag, by name within it.

    Args:
        payload: name below data/ -> bytes, or the file to copy.
        info: further lines of bag-info.txt.

    Raises:
        OSError: a file of the payload cannot be read.
    """
    hashes, octets = {}, 0
    for name, content in payload.items():
        if isinstance(content, bytes):
            found = (sha256_of(content), len(content))
        else:
            found = hash_regular(content)
        hashes[f"data/{name}"] = found[0]
        octets += found[1]
    lines = {
        "Bag-Software-Agent": f"fakeexplain {fakeexplain.__version__}",
        "Bagging-Date": date.today().isoformat(),
        **info,
        "Payload-Oxum": f"{octets}.{len(payload)}",
    }
    text = "".join(f"{key}: {' '.join(value.split())}\n" for key, value in sorted(lines.items()))
    tags = {BAGIT: DECLARATION, INFO: text.encode(), MANIFEST: manifest_of(hashes)}
    tags[TAG_MANIFEST] = manifest_of({name: sha256_of(content) for name, content in tags.items()})
    return {f"data/{name}": content for name, content in payload.items()} | tags


def bag_problems(bag: Path) -> list[str]:
    """Everything by which a folder differs from a bag that `bag_files` wrote; empty for a sound one.

    Files are looked up in the manifest, never opened by a name out of it.
    """
    problems: list[str] = []
    found: dict[str, str] = {}
    octets = 0
    for name, mode in walk(bag):
        if not stat.S_ISREG(mode):
            problems.append(f"bag: {shown(name)} is no regular file")
            continue
        try:
            found[name], size = hash_regular(bag / name)
        except OSError as error:
            problems.append(f"bag: {shown(name)} cannot be read ({error.strerror or error})")
            continue
        octets += size if name.startswith("data/") else 0
    for manifest, inside in ((MANIFEST, True), (TAG_MANIFEST, False)):
        wanted = {n: h for n, h in found.items() if n.startswith("data/") is inside and n != TAG_MANIFEST}
        problems += _manifest_problems(bag / manifest, wanted)
    if found.get(BAGIT) != sha256_of(DECLARATION):
        problems.append(f"bag: {BAGIT} is missing or does not declare BagIt 1.0")
    try:
        info = read_regular(bag / INFO).decode().splitlines()
    except (OSError, ValueError):
        info = []
    count = sum(n.startswith("data/") for n in found)
    if f"Payload-Oxum: {octets}.{count}" not in info:
        problems.append(f"bag: {INFO} does not announce {octets} bytes in {count} files")
    return problems


def _manifest_problems(path: Path, wanted: Mapping[str, str]) -> list[str]:
    try:
        data = read_regular(path)
        pairs = (line.split("  ", 1) for line in data.decode().split("\n") if line)
        listed: dict[str, str] = {name: digest for digest, name in pairs}
    except (OSError, ValueError) as error:
        return [f"bag: {path.name} cannot be read ({error})"]
    if data == manifest_of(wanted):
        return []
    names = {line.split(b"  ", 1)[1].decode(): n for n in wanted for line in [manifest_of({n: "-"}).rstrip(b"\n")]}
    problems = [f"bag: {shown(n)} is listed in {path.name} but missing" for n in sorted(set(listed) - set(names))]
    problems += [f"bag: {shown(n)} is not listed in {path.name}" for n in sorted(set(names) - set(listed))]
    changed = [n for n in sorted(set(names) & set(listed)) if listed[n] != wanted[names[n]]]
    problems += [f"bag: {shown(n)} does not have the sha256 listed in {path.name}" for n in changed]
    return problems or [f"bag: {path.name} was changed in form"]


def walk(folder: Path) -> list[tuple[str, int]]:
    """(relative name, mode) of everything below a folder but folders; links are listed, never followed."""
    found = []
    stack = [""]
    while stack:
        place = stack.pop()
        with os.scandir(folder / place) as entries:
            for entry in entries:
                name = f"{place}/{entry.name}" if place else entry.name
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    stack.append(name)
                else:
                    found.append((name, mode))
    return sorted(found)
