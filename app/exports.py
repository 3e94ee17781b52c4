"""Files to take away: HTML and PDF report with the remarks, JSON, mask, overlay, conversation, or all as a zip.

Every file names the picture's sha256 and the versions that made it; `ExportFile.sha256` is the hash of the file itself.
Left out: case folders, which keep a log (`casebook`).
"""

from __future__ import annotations

import hashlib
import html
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import PurePath

import numpy as np

from app.errors import AppError
from app.handlers import overlay_picture
from app.layers import png_bytes
from app.service import FindingNote, Picture, Service
from fakeexplain.imaging.regions import decode_mask
from fakeexplain.imaging.source import printable

REMARKS_TITLE = "Remarks of the person who examined"
REMARKS_NOTE = "Written by a person at the screen; they are no part of what the program measured."


@dataclass(frozen=True)
class ExportFile:
    """A file to take away. name: a cleaned file name; sha256: of `data`."""

    name: str
    media_type: str
    data: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def export(service: Service, picture_id: str, kind: str) -> ExportFile:
    """One file about a picture.

    Args:
        kind: one of `KINDS`.

    Raises:
        AppError: another kind. UnknownPictureError.
    """
    if kind not in _MAKERS:
        raise AppError(f"no export {printable(kind, 40)!r}; wanted one of {', '.join(KINDS)}")
    picture = service.picture(picture_id)
    suffix, media_type, make = _MAKERS[kind]
    stem = PurePath(picture.name).stem or "picture"
    return ExportFile(f"{stem}.{picture.sha256[:8]}.{suffix}", media_type, make(service, picture))


def _json(service: Service, picture: Picture) -> bytes:
    return picture.examination.to_json().encode()


def _html(service: Service, picture: Picture) -> bytes:
    from fakeexplain.report.render import render_html

    page = render_html(picture.examination, service.source(picture), service.score_map(picture))
    return page.replace("</main>", remarks_html(picture.notes) + "</main>", 1).encode()


def remarks_html(notes: list[FindingNote]) -> str:
    """A section of the report's page; every string is escaped. "" without remarks."""
    if not notes:
        return ""

    def safe(text: str) -> str:
        return "<br>".join(html.escape(printable(line, 1 << 16)) for line in text.splitlines())

    rows = []
    for n in notes:
        about = f"{n.evidence_id}: {n.status}" if n.status else n.evidence_id or "The picture"
        by = f"{n.author}, {n.time}" if n.author else n.time
        rows.append(f"<dt>{safe(about)}</dt><dd>{safe(n.text) or '–'}<br><small>{safe(by)}</small></dd>")
    return (
        f'<section aria-labelledby="remarks-title"><h2 id="remarks-title">{REMARKS_TITLE}</h2>'
        f'<p>{REMARKS_NOTE}</p><dl class="pairs">{"".join(rows)}</dl></section>'
    )


def _pdf(service: Service, picture: Picture) -> bytes:
    from app.pdf import render_pdf_with_remarks

    return render_pdf_with_remarks(
        picture.examination, service.source(picture), service.score_map(picture), picture.notes
    )


def _mask(service: Service, picture: Picture) -> bytes:
    return png_bytes(decode_mask(picture.examination.mask).astype(np.uint8) * 255, _origin(picture))


def _overlay(service: Service, picture: Picture) -> bytes:
    return png_bytes(overlay_picture(service, picture.id, side=None), _origin(picture))


def _map(service: Service, picture: Picture) -> bytes:
    score_map = service.score_map(picture)
    if score_map is None:
        raise AppError("this examination has no map to export")
    return png_bytes(np.rint(score_map * 255).astype(np.uint8), _origin(picture))


def _conversation(service: Service, picture: Picture) -> bytes:
    turns = [] if picture.conversation is None else json.loads(picture.conversation.to_json())
    document = {
        "picture": {"name": picture.name, "sha256": picture.sha256},
        "versions": picture.examination.versions,
        "conversation": turns,
        "remarks": [asdict(n) for n in picture.notes],
    }
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


def _bundle(service: Service, picture: Picture) -> bytes:
    """Every other kind and SHA256SUMS.txt; `sha256sum -c` checks it."""
    kinds = ["html", "pdf", "json", "mask", "overlay", "conversation"]
    if service.private.map_path(picture.sha256).exists():
        kinds.append("map")
    files = [export(service, picture.id, kind) for kind in kinds]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.writestr(file.name, file.data)
        lines = "".join(f"{file.sha256}  {file.name}\n" for file in files)
        archive.writestr("SHA256SUMS.txt", lines)
        archive.writestr("PICTURE.txt", f"{picture.sha256}  {picture.name}\n")
    return buffer.getvalue()


def _origin(picture: Picture) -> dict[str, str]:
    versions = json.dumps(picture.examination.versions, sort_keys=True)
    return {"Source-SHA256": picture.sha256, "Software": "fakeexplain", "Versions": versions}


_MAKERS: dict[str, tuple[str, str, Callable[[Service, Picture], bytes]]] = {
    "html": ("report.html", "text/html; charset=utf-8", _html),
    "pdf": ("report.pdf", "application/pdf", _pdf),
    "json": ("examination.json", "application/json", _json),
    "mask": ("mask.png", "image/png", _mask),
    "overlay": ("overlay.png", "image/png", _overlay),
    "map": ("map.png", "image/png", _map),
    "conversation": ("conversation.json", "application/json", _conversation),
    "zip": ("zip", "application/zip", _bundle),
}
KINDS: tuple[str, ...] = tuple(_MAKERS)
