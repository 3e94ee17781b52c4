"""The whole history of one file in one record, read once per `SourceImage`: blocks, Content Credentials, previews.

`prepare_provenance` fills that record inside a guarded worker (`imaging.worker.load_guarded`), so that hostile metadata
never reach a parser of the calling process. Left out on purpose: wording and any judgement (`instruments.metadata`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from fakeexplain.imaging.source import SourceImage
from fakeexplain.provenance.blocks import MetadataBlocks, read_blocks
from fakeexplain.provenance.c2pa import Credentials, read_credentials
from fakeexplain.provenance.generators import find_generators
from fakeexplain.provenance.thumbnail import compare_thumbnail

_KEPT = "_provenance"  # beside the cached properties of a SourceImage, so that a worker hands it over with them


@dataclass
class Provenance:
    """Everything read about one file's history.

    Attributes:
        blocks, credentials: see there.
        generators: what image generators wrote, see `generators.find_generators`.
        previews: (place, result of `compare_thumbnail`) of each embedded preview that could be compared.
        failure: why nothing could be read, as a clause; "" otherwise.
    """

    blocks: MetadataBlocks
    credentials: Credentials
    generators: list[dict[str, Any]] = field(default_factory=list)
    previews: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    failure: str = ""


def read_provenance(source: SourceImage, trust_anchors: str = "") -> Provenance:
    """Reads once and keeps the result with the source; other trust anchors read anew. Never raises on a file.

    Args:
        trust_anchors: certificates to trust for Content Credentials, PEM; "" trusts nobody.
    """
    kept = vars(source).get(_KEPT)
    if kept is None or (kept[0] != trust_anchors and not kept[1].failure):
        kept = (trust_anchors, _read(source, trust_anchors))
        vars(source)[_KEPT] = kept
    found: Provenance = kept[1]
    return found


def prepare_provenance(source: SourceImage, failure: str = "", *, trust_anchors: str = "") -> None:
    """For `load_guarded(..., prepare=prepare_provenance)`: fills the record in the worker, where parsing is guarded.

    Args:
        failure: set by the calling process when the worker died or ran out of time: nothing is parsed then, and the
            record says why.
        trust_anchors: as for `read_provenance`; bind it with `functools.partial`.
    """
    if failure:
        empty = MetadataBlocks(faults={"metadata": [failure]})
        vars(source)[_KEPT] = (trust_anchors, Provenance(empty, Credentials("unreadable", failure), failure=failure))
    else:
        read_provenance(source, trust_anchors)


def _read(source: SourceImage, trust_anchors: str) -> Provenance:
    blocks = read_blocks(source)
    remote = next((u for u in blocks.xmp.get("provenance", []) if u.startswith(("http://", "https://"))), "")
    credentials = read_credentials(source.data, source.format, trust_anchors=trust_anchors, remote_url=remote)
    if credentials.state == "absent" and blocks.credentials:
        credentials = replace(
            credentials, state="unreadable", reason=f"the file has a {blocks.credentials} for them that holds none"
        )
    elif credentials.state == "absent" and remote:
        credentials = replace(credentials, state="unreadable", reason="they lie on a server, which is never asked")
    previews = []
    for place, preview in (("EXIF", blocks.thumbnail), ("Photoshop block", blocks.photoshop_preview)):
        result = compare_thumbnail(preview, source) if preview is not None else None
        if result is not None:
            previews.append((place, result))
    return Provenance(blocks, credentials, find_generators(blocks.raw_texts), previews)
