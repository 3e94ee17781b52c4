"""What the file says about itself, as evidence records: camera, programs, dates, size, preview, tables, trailing data.

Facts only, no NFA: anybody can write or strip metadata, so nothing here counts for the verdict. Reading and parsing
live in `provenance`, the wording of what it finds on the file's history in `_history_facts`. Left out on purpose: ICC
profiles, and any judgement. Strings come cleaned but are still data: whoever renders them has to escape them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from fakeexplain.imaging.regions import region_of_mask
from fakeexplain.imaging.source import SourceImage
from fakeexplain.instruments._history_facts import (
    Fact,
    credentials_facts,
    generator_facts,
    history_facts,
    maker_note_facts,
    order_facts,
)
from fakeexplain.instruments.base import Instrument
from fakeexplain.provenance.blocks import MetadataBlocks
from fakeexplain.provenance.c2pa import Credentials
from fakeexplain.provenance.container import TRAILER_SIGNATURES, trailer
from fakeexplain.provenance.dates import date_conflicts
from fakeexplain.provenance.exif import degrees_of
from fakeexplain.provenance.jpeg_tables import describe_tables
from fakeexplain.provenance.programs import EDITOR_PATTERNS, GENERATOR_CHUNKS, GENERATORS, software_fields
from fakeexplain.provenance.reading import Provenance, read_provenance
from fakeexplain.provenance.text import clean_text
from fakeexplain.provenance.thumbnail import SAME_PICTURE
from fakeexplain.records import Evidence, Region


class Metadata(Instrument):
    """Facts and contradictions in what the file says about itself; never counts for the verdict.

    Args:
        trust_anchors: certificates whose Content Credentials are called trusted, PEM; "" trusts nobody.
    """

    name: ClassVar[str] = "metadata"
    version: ClassVar[str] = "1.1"
    title: ClassVar[str] = "File and metadata"
    needs: ClassVar[str] = "nothing; a file without metadata is a fact too"
    measures: ClassVar[str] = "what the file says about its camera, programs, dates and structure"
    localizes: ClassVar[bool] = False

    def __init__(self, trust_anchors: str = "") -> None:
        self.trust_anchors = trust_anchors

    def examine(self, source: SourceImage) -> list[Evidence]:
        """At most 22 records, all of kind `fact`. Never raises on a `SourceImage`."""
        found = read_provenance(source, self.trust_anchors)
        blocks = found.blocks
        records = [
            *self._programs(blocks, found),
            *self._contradictions(source, blocks),
            *self._previews(found),
            *self._file(source),
            *map(self._record, maker_note_facts(blocks)),
            *map(self._record, order_facts(source.jpeg)),
            *map(self._record, credentials_facts(found.credentials)),
        ]
        if blocks.any():
            return [self._camera(source, blocks, found.credentials), *records]
        missing = self._fact(
            "no_metadata",
            "metadata blocks (EXIF, XMP, IPTC, comments)",
            value=0,
            reference_text="most services strip metadata from every picture, so their absence says nothing",
            limits=("sharing services and messengers, which strip metadata", "screenshots and scans"),
            details={"content_credentials": found.credentials.state},
        )
        return [missing, *records]

    def _record(self, fact: Fact) -> Evidence:
        return Evidence(instrument=self.name, instrument_version=self.version, kind="fact", **vars(fact))

    def _fact(
        self,
        trace: str,
        quantity: str,
        *,
        value: bool | int | float | str | None = None,
        unit: str = "",
        reference: bool | int | float | str | None = None,
        reference_text: str = "",
        region: Region | None = None,
        limits: tuple[str, ...] = (),
        details: dict[str, Any] | None = None,
    ) -> Evidence:
        return Evidence(
            instrument=self.name,
            instrument_version=self.version,
            kind="fact",
            trace=trace,
            quantity=quantity,
            value=value,
            unit=unit,
            reference=reference,
            reference_text=reference_text,
            region=region,
            limits=limits,
            details=details or {},
        )

    def _camera(self, source: SourceImage, blocks: MetadataBlocks, credentials: Credentials) -> Evidence:
        details: dict[str, Any] = dict(blocks.exif)
        if blocks.lens:
            details["Lens"] = blocks.lens
        details.update({f"IPTC {name}": text for name, text in blocks.iptc.items()})
        details.update({f"text {name}": text for name, text in blocks.texts.items()})
        details.update({f"XMP {name}": texts[0] for name, texts in blocks.xmp.items() if texts})
        if blocks.maker_note is not None:
            details.update(blocks.maker_note.details())
        details.update({f"Photoshop {name}": value for name, value in blocks.photoshop.items()})
        details["content_credentials"] = credentials.state
        details["orientation_applied"] = source.orientation
        details["gps_present"] = bool(blocks.gps)
        latitude = degrees_of(blocks.gps.get(2), blocks.gps.get(1))
        longitude = degrees_of(blocks.gps.get(4), blocks.gps.get(3))
        if latitude is not None and longitude is not None:
            details["gps_latitude"], details["gps_longitude"] = latitude, longitude
        make, model = str(blocks.exif.get("Make", "")), str(blocks.exif.get("Model", ""))
        camera = model if make and model.lower().startswith(make.split()[0].lower()) else f"{make} {model}".strip()
        return self._fact(
            "camera_facts",
            "camera the file names" if camera else "metadata that names no camera",
            value=clean_text(camera) or None,
            reference_text="as written in the file, which anybody can change",
            limits=("metadata copied from another picture",),
            details=details,
        )

    def _programs(self, blocks: MetadataBlocks, found: Provenance) -> list[Evidence]:
        records, fields = [], software_fields(blocks)
        traces: list[list[str]] = []
        for kind, pattern in EDITOR_PATTERNS.items():
            traces += [[where, text, kind] for where, text in fields if pattern.search(text)]
        if blocks.photoshop_ids:
            words = f"{len(blocks.photoshop_ids)} Photoshop resource blocks"
            traces.append(["the file structure", words, "Photoshop or a program that writes alike"])
        if traces:
            records.append(
                self._fact(
                    "editor_software",
                    "program that wrote or changed the file",
                    value=traces[0][1],
                    reference_text=f"named in {traces[0][0]}: {traces[0][2]}",
                    limits=("harmless steps such as resizing, rotating or exporting with this program",),
                    details={"traces": traces[:20]},
                )
            )
        generated = [[where, text] for where, text in fields if GENERATORS.search(text)]
        generated += [[f"text chunk {key}", blocks.texts[key]] for key in GENERATOR_CHUNKS if key in blocks.texts]
        records += map(self._record, history_facts(blocks))
        records += map(self._record, generator_facts(found.generators, generated))
        return records

    def _contradictions(self, source: SourceImage, blocks: MetadataBlocks) -> list[Evidence]:
        records = []
        conflicts, dates = date_conflicts(blocks)
        if conflicts:
            records.append(
                self._fact(
                    "date_conflict",
                    "dates in the file that do not agree",
                    value=conflicts[0],
                    reference_text="a file straight from a camera carries one and the same date",
                    limits=("saving or exporting the picture later", "a wrong camera clock or time zone", "a scan"),
                    details={"conflicts": conflicts, "dates": dates},
                )
            )
        said = (blocks.exif.get("PixelXDimension"), blocks.exif.get("PixelYDimension"))
        if all(isinstance(v, int) and v > 0 for v in said):
            width, height = int(said[0] or 0), int(said[1] or 0)
            if sorted((width, height)) != sorted((source.width, source.height)):
                ratio, real = (
                    max(width, height) / min(width, height),
                    max(source.width, source.height) / min(source.width, source.height),
                )
                how = "the same proportions: resized" if abs(ratio / real - 1) < 0.01 else "other proportions: cropped"
                records.append(
                    self._fact(
                        "dimension_conflict",
                        "picture size written in EXIF",
                        value=f"{width}x{height}",
                        unit="pixels",
                        reference=f"{source.width}x{source.height}",
                        reference_text=f"the real size; {how}, or the EXIF block comes from another file",
                        limits=("resizing or cropping without updating the entry",),
                    )
                )
        if blocks.faults:
            names = ", ".join(blocks.faults)
            records.append(
                self._fact(
                    "broken_metadata",
                    f"{names} block is broken",
                    value=next(iter(blocks.faults.values()))[0],
                    reference_text="read as far as it could be read safely",
                    limits=("careless programs that move blocks without mending their offsets", "a damaged file"),
                    details={"faults": blocks.faults},
                )
            )
        return records

    def _previews(self, found: Provenance) -> list[Evidence]:
        records = []
        for place, result in found.previews:
            mask = result["changed_mask"]
            other = result["correlation"] < SAME_PICTURE
            if not other and mask is None:
                trace, region = "thumbnail_match", None
                text = "the preview shows the same picture"
            elif other:
                trace, region = "thumbnail_mismatch", None
                text = "the preview shows another picture or another crop; the same picture gives 0.8 to 1"
            else:
                trace, region = "thumbnail_mismatch", region_of_mask(mask)
                text = f"the preview shows something else here: {region.words}"
            records.append(
                self._fact(
                    trace,
                    f"agreement of the embedded preview ({place}) with the picture (correlation)",
                    value=result["correlation"],
                    reference=SAME_PICTURE,
                    reference_text=text,
                    region=region,
                    limits=("cropping, borders or strong tone changes by a program that kept the old preview",),
                    details={k: v for k, v in result.items() if k != "changed_mask"},
                )
            )
        return records

    def _file(self, source: SourceImage) -> list[Evidence]:
        records = []
        if source.jpeg is not None:
            segments = source.jpeg.segments
            tables = describe_tables(source.jpeg)
            blocks_in_order = [
                s.identifier[:4].decode("ascii") for s in segments if s.identifier[:4] in (b"JFIF", b"Exif")
            ]
            more = {
                "subsampling": source.jpeg.subsampling,
                "progressive": source.jpeg.progressive,
                "segments": [s.name for s in segments][:60],
                "blocks_in_order": blocks_in_order[:4],
                "adobe_marker": any(s.identifier[:5] == b"Adobe" for s in segments),
            }
            records.append(
                self._fact(
                    "quantisation_tables",
                    "JPEG quantisation tables",
                    value=tables["luma_words"],
                    reference_text=f"{tables['tables_defined']} tables, {source.jpeg.subsampling} colour sampling",
                    limits=("any program or camera that uses the same tables",),
                    details=tables | more,
                )
            )
        size, tail = trailer(source)
        if size > 0:
            pictures = tail.count(b"\xff\xd8\xff")
            signatures = [words for mark, words in TRAILER_SIGNATURES if mark in tail]
            if not tail.strip(b"\x00"):
                signatures.append("zeros only")
            announced = source.jpeg is not None and any(s.identifier[:4] == b"MPF\x00" for s in source.jpeg.segments)
            if pictures:
                signatures.insert(0, f"{pictures} further JPEG pictures" if pictures > 1 else "a further JPEG picture")
            records.append(
                self._fact(
                    "trailing_data",
                    "bytes after the end of the picture",
                    value=size,
                    unit="bytes",
                    reference=0,
                    reference_text=", ".join(signatures) or "of no kind that is recognised",
                    limits=("cameras and phones that append previews, depth maps or short videos", "padding"),
                    details={"signatures": signatures, "announced_by_camera_index": announced},
                )
            )
        return records
