"""Every metadata block of one file in one record: EXIF, XMP, IPTC, Photoshop resources, comments and text chunks.

Left out on purpose: validating Content Credentials (`c2pa` does; here only their place is noted), ICC profiles,
file-system dates (they tell about copying), and any judgement.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, IptcImagePlugin

from fakeexplain.imaging.source import SourceImage
from fakeexplain.provenance.container import png_chunks, png_text
from fakeexplain.provenance.exif import read_exif
from fakeexplain.provenance.maker_notes import MakerNote
from fakeexplain.provenance.photoshop import SHARED_IDS, photoshop_facts, photoshop_preview
from fakeexplain.provenance.text import MAX_GENERATOR_TEXT, clean_text
from fakeexplain.provenance.xmp import parse_xmp

_IPTC = {
    (2, 40): "SpecialInstructions",
    (2, 55): "DateCreated",
    (2, 65): "OriginatingProgram",
    (2, 80): "Byline",
    (2, 103): "TransmissionReference",
    (2, 110): "Credit",
    (2, 115): "Source",
    (2, 120): "Caption",
}
_C2PA_BMFF = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_MAX_RAW = 1 << 20  # bytes of all texts kept in full length


@dataclass
class MetadataBlocks:
    """Everything read from one file, cleaned.

    `texts` are shortened for showing; `raw_texts` holds the same and the EXIF user comment in full length by place, for
    `generators` to search. `photoshop_ids` are the resources that only Photoshop and its like write.
    """

    exif: dict[str, Any] = field(default_factory=dict)
    gps: dict[int, Any] = field(default_factory=dict)
    thumbnail: bytes | None = None
    maker_note: MakerNote | None = None
    xmp: dict[str, list[str]] = field(default_factory=dict)
    xmp_steps: list[dict[str, str]] = field(default_factory=list)
    xmp_lists: dict[str, int] = field(default_factory=dict)
    iptc: dict[str, str] = field(default_factory=dict)
    photoshop_ids: list[int] = field(default_factory=list)
    photoshop: dict[str, Any] = field(default_factory=dict)
    photoshop_preview: bytes | None = None
    texts: dict[str, str] = field(default_factory=dict)
    raw_texts: dict[str, str] = field(default_factory=dict)
    lens: str = ""
    faults: dict[str, list[str]] = field(default_factory=dict)
    credentials: str = ""

    def any(self) -> bool:
        """Whether there is any block at all; a broken one counts, Content Credentials alone do not."""
        found = (self.exif, self.gps, self.xmp, self.xmp_steps, self.xmp_lists, self.iptc, self.photoshop, self.texts)
        return any(found) or bool(self.faults)


def read_blocks(source: SourceImage) -> MetadataBlocks:
    """Reads every block of the file; what cannot be read ends up in `faults`, nothing raises."""
    blocks = MetadataBlocks()
    if source.exif:
        exif = read_exif(source.exif)
        blocks.exif, blocks.gps, blocks.thumbnail, blocks.lens = exif.entries, exif.gps, exif.thumbnail, exif.lens
        blocks.maker_note = exif.maker_note
        if exif.comment:
            blocks.raw_texts["EXIF UserComment"] = exif.comment
        if exif.faults:
            blocks.faults["EXIF"] = exif.faults
    if source.xmp:
        try:
            xmp = parse_xmp(source.xmp)
            blocks.xmp, blocks.xmp_steps, blocks.xmp_lists = xmp.properties, xmp.steps, xmp.lists
        except ValueError as error:
            blocks.faults["XMP"] = [clean_text(error)]
    if source.format in ("JPEG", "TIFF"):
        _read_with_pillow(source.data, blocks)
    _read_container(source, blocks)
    return blocks


def _read_with_pillow(data: bytes, blocks: MetadataBlocks) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data))
            iptc = IptcImagePlugin.getiptcinfo(image) or {}
        for number, name in _IPTC.items():
            value = iptc.get(number)
            if value:
                blocks.iptc[name] = clean_text(value[0] if isinstance(value, list) else value)
        resources = image.info.get("photoshop")
        if isinstance(resources, dict) and resources:
            known = {k: v for k, v in resources.items() if isinstance(k, int) and isinstance(v, bytes)}
            blocks.photoshop_ids = sorted(i for i in resources if i not in SHARED_IDS)
            blocks.photoshop, blocks.photoshop_preview = photoshop_facts(known), photoshop_preview(known)
        if image.info.get("comment"):
            _keep_text(blocks, "JPEG comment", image.info["comment"], "JPEG comment")
    except Exception as error:  # as for EXIF: hostile blocks make the readers raise anything
        blocks.faults["IPTC"] = [clean_text(error) or type(error).__name__]


def _read_container(source: SourceImage, blocks: MetadataBlocks) -> None:
    data = source.data
    if source.jpeg is not None:
        for segment in source.jpeg.segments:
            if segment.name == "APP11" and b"c2pa" in segment.identifier:
                blocks.credentials = "APP11 segment (JUMBF)"
            elif segment.name == "APP12" and segment.identifier.startswith(b"Ducky"):
                blocks.texts["APP12 segment"] = "Ducky (Adobe Photoshop Save for Web)"
    elif source.format == "PNG":
        for kind, payload in png_chunks(data):
            if kind in (b"tEXt", b"zTXt", b"iTXt") and len(blocks.texts) < 40:
                key, text = png_text(kind, payload, MAX_GENERATOR_TEXT)
                if key != "XML:com.adobe.xmp":
                    _keep_text(blocks, key, text, f"text chunk {key}")
            elif kind == b"caBX":
                blocks.credentials = "caBX chunk (JUMBF)"
    elif source.format == "WEBP" and b"C2PA" in data[12:]:
        blocks.credentials = "C2PA chunk"
    elif source.format in ("HEIF", "AVIF") and _C2PA_BMFF in data:
        blocks.credentials = "C2PA box"


def _keep_text(blocks: MetadataBlocks, key: str, text: bytes | str, place: str) -> None:
    blocks.texts[key] = clean_text(text)
    if isinstance(text, bytes):
        raw = text[:MAX_GENERATOR_TEXT]
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
    if sum(map(len, blocks.raw_texts.values())) < _MAX_RAW:
        blocks.raw_texts[place] = text[:MAX_GENERATOR_TEXT]
