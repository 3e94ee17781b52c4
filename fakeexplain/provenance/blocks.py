"""Every metadata block of one file in one record: EXIF, XMP, IPTC, Photoshop resources, comments and text chunks.

Left out on purpose: validating Content Credentials (only their presence is noted), ICC profiles, file-system dates
(they tell about copying), and any judgement.
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
from fakeexplain.provenance.text import clean_text
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


@dataclass
class MetadataBlocks:
    """Everything read from one file, cleaned."""

    exif: dict[str, Any] = field(default_factory=dict)
    gps: dict[int, Any] = field(default_factory=dict)
    thumbnail: bytes | None = None
    xmp: dict[str, list[str]] = field(default_factory=dict)
    iptc: dict[str, str] = field(default_factory=dict)
    photoshop_ids: list[int] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    lens: str = ""
    faults: dict[str, list[str]] = field(default_factory=dict)
    credentials: str = ""

    def any(self) -> bool:
        """Whether there is any block at all; a broken one counts, Content Credentials alone do not."""
        return bool(self.exif or self.gps or self.xmp or self.iptc or self.photoshop_ids or self.texts or self.faults)


def read_blocks(source: SourceImage) -> MetadataBlocks:
    """Reads every block of the file; what cannot be read ends up in `faults`, nothing raises."""
    blocks = MetadataBlocks()
    if source.exif:
        exif = read_exif(source.exif)
        blocks.exif, blocks.gps, blocks.thumbnail, blocks.lens = exif.entries, exif.gps, exif.thumbnail, exif.lens
        if exif.faults:
            blocks.faults["EXIF"] = exif.faults
    if source.xmp:
        try:
            blocks.xmp = parse_xmp(source.xmp)
        except ValueError as error:
            blocks.faults["XMP"] = [clean_text(error)]
    data = source.data
    if source.format in ("JPEG", "TIFF"):
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
            blocks.photoshop_ids = sorted(resources) if isinstance(resources, dict) else []
            if image.info.get("comment"):
                blocks.texts["JPEG comment"] = clean_text(image.info["comment"])
        except Exception as error:  # as for EXIF: hostile blocks make the readers raise anything
            blocks.faults["IPTC"] = [clean_text(error) or type(error).__name__]
    if source.jpeg is not None:
        for segment in source.jpeg.segments:
            if segment.name == "APP11" and b"jumb" in segment.identifier:
                blocks.credentials = "APP11 segment (JUMBF)"
            elif segment.name == "APP12" and segment.identifier.startswith(b"Ducky"):
                blocks.texts["APP12 segment"] = "Ducky (Adobe Photoshop Save for Web)"
    elif source.format == "PNG":
        for kind, payload in png_chunks(data):
            if kind in (b"tEXt", b"zTXt", b"iTXt") and len(blocks.texts) < 40:
                key, text = png_text(kind, payload)
                if key != "XML:com.adobe.xmp":
                    blocks.texts[key] = text
            elif kind == b"caBX":
                blocks.credentials = "caBX chunk (JUMBF)"
    elif source.format == "WEBP" and b"C2PA" in data[12:]:
        blocks.credentials = "C2PA chunk"
    elif source.format in ("HEIF", "AVIF") and _C2PA_BMFF in data:
        blocks.credentials = "C2PA box"
    return blocks
