"""Exact JPEG facts from the bytes: segments, tables, subsampling, quality estimate, quantised coefficients, block DCT.

The segment walk is our own because it must survive broken files and report what it saw; decoding of the entropy-coded
coefficients is libjpeg's, through `jpeglib`. Nothing here judges; "not in our list" is left to `instruments.metadata`.
"""

from __future__ import annotations

import os
import struct
import tempfile
from dataclasses import dataclass, field

import numpy as np

# Annex K of ITU-T T.81, natural (row-major) order.
STANDARD_LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    dtype=np.int32,
)
STANDARD_CHROMA = np.array(
    [
        [17, 18, 24, 47, 99, 99, 99, 99],
        [18, 21, 26, 66, 99, 99, 99, 99],
        [24, 26, 56, 99, 99, 99, 99, 99],
        [47, 66, 99, 99, 99, 99, 99, 99],
        [99, 99, 99, 99, 99, 99, 99, 99],
        [99, 99, 99, 99, 99, 99, 99, 99],
        [99, 99, 99, 99, 99, 99, 99, 99],
        [99, 99, 99, 99, 99, 99, 99, 99],
    ],
    dtype=np.int32,
)

# ZIGZAG[k] = (row, column) of the k-th coefficient in zigzag order.
ZIGZAG: tuple[tuple[int, int], ...] = tuple(
    sorted(
        ((r, c) for r in range(8) for c in range(8)),
        key=lambda rc: (rc[0] + rc[1], rc[0] if (rc[0] + rc[1]) % 2 else rc[1]),
    )
)

# Orthonormal 8-point DCT-II matrix: coefficients = DCT8 @ block @ DCT8.T for a block of grey levels minus 128.
_K = np.arange(8)
DCT8 = (
    np.cos((2 * _K[None, :] + 1) * _K[:, None] * np.pi / 16) * np.where(_K[:, None] == 0, 1 / np.sqrt(8), 0.5)
).astype(np.float32)

_STANDALONE = {0x01, *range(0xD0, 0xD8)}
_FRAME_HEADERS = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}


@dataclass(frozen=True)
class Segment:
    """One marker segment: marker byte (0xE1 = APP1), offset of its 0xFF, payload length, first bytes as identifier."""

    marker: int
    offset: int
    length: int
    identifier: bytes = b""

    @property
    def name(self) -> str:
        if 0xE0 <= self.marker <= 0xEF:
            return f"APP{self.marker - 0xE0}"
        names = {0xC4: "DHT", 0xDB: "DQT", 0xDD: "DRI", 0xDA: "SOS", 0xD8: "SOI", 0xD9: "EOI", 0xFE: "COM"}
        return names.get(self.marker, f"SOF{self.marker - 0xC0}" if self.marker in _FRAME_HEADERS else hex(self.marker))


@dataclass(frozen=True)
class JpegFacts:
    """What the header of a JPEG says.

    Attributes:
        tables: quantisation tables by id, each int32 8x8 in natural order.
        component_tables: table id of each component, in file order (luma first).
        sampling: (horizontal, vertical) factors of each component.
        progressive: SOF2.
        quality: nearest quality of the Annex K luma table in 1..100.
        quality_exact: the luma table is exactly that one.
        segments: marker segments in file order.
        trailing_bytes: bytes after the end of the (first) image.
    """

    width: int
    height: int
    tables: dict[int, np.ndarray]
    component_tables: tuple[int, ...]
    sampling: tuple[tuple[int, int], ...]
    progressive: bool
    precision: int
    quality: int
    quality_exact: bool
    segments: tuple[Segment, ...] = field(repr=False, default=())
    trailing_bytes: int = 0

    @property
    def luma_table(self) -> np.ndarray:
        return self.tables[self.component_tables[0]]

    @property
    def subsampling(self) -> str:
        """ "4:2:0", "4:2:2", "4:4:0", "4:4:4", "grey" or the raw factors."""
        if len(self.sampling) == 1:
            return "grey"
        (h, v), chroma = self.sampling[0], self.sampling[1:]
        if any(c != chroma[0] for c in chroma) or h % chroma[0][0] or v % chroma[0][1]:
            return " ".join(f"{a}x{b}" for a, b in self.sampling)
        ratio = (h // chroma[0][0], v // chroma[0][1])
        names = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0", (4, 1): "4:1:1"}
        return names.get(ratio, f"{ratio[0]}x{ratio[1]}")


def scaled_table(quality: int, base: np.ndarray = STANDARD_LUMA) -> np.ndarray:
    """The table libjpeg uses for a quality of 1..100 (baseline: values clipped to 1..255), int32 8x8."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((base * scale + 50) // 100, 1, 255).astype(np.int32)


def estimate_quality(luma_table: np.ndarray) -> tuple[int, bool]:
    """(nearest Annex K quality by L1 distance of the tables, whether it is exact)."""
    candidates = np.stack([scaled_table(q) for q in range(1, 101)])
    distances = np.abs(candidates - luma_table[None]).sum(axis=(1, 2))
    best = int(np.argmin(distances))
    return best + 1, bool(distances[best] == 0)


def _parse_tables(payload: bytes, tables: dict[int, np.ndarray]) -> None:
    position = 0
    while position < len(payload):
        precision, table_id = payload[position] >> 4, payload[position] & 15
        size = 128 if precision else 64
        raw = payload[position + 1 : position + 1 + size]
        if len(raw) < size:
            return
        values = np.frombuffer(raw, dtype=">u2" if precision else "u1").astype(np.int32)
        table = np.zeros((8, 8), dtype=np.int32)
        for value, (row, column) in zip(values, ZIGZAG, strict=True):
            table[row, column] = value
        tables[table_id] = table
        position += 1 + size


def _end_of_image(data: bytes, position: int) -> int:
    """Offset just after the EOI that ends the entropy-coded data starting at `position`, or -1.

    Inside entropy-coded data 0xFF is followed by 0x00 or a restart marker, so other markers can be searched for.
    """
    while True:
        position = data.find(b"\xff", position)
        if position < 0 or position + 1 >= len(data):
            return -1
        marker = data[position + 1]
        if marker == 0xD9:
            return position + 2
        if marker == 0xFF:
            position += 1
        elif marker == 0x00 or marker in _STANDALONE:
            position += 2
        else:  # a further segment (progressive scans, tables between scans): jump over its payload
            if position + 4 > len(data):
                return -1
            position += 2 + struct.unpack(">H", data[position + 2 : position + 4])[0]


def parse_jpeg(data: bytes) -> JpegFacts | None:
    """Walks the marker segments up to the first scan. None when the header is too broken to name size and tables."""
    if data[:2] != b"\xff\xd8":
        return None
    tables: dict[int, np.ndarray] = {}
    segments: list[Segment] = []
    frame: bytes | None = None
    frame_marker = 0
    position = 2
    end = -1
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            break
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker in _STANDALONE:
            position += 2
            continue
        if marker == 0xD9:
            break
        length = struct.unpack(">H", data[position + 2 : position + 4])[0]
        payload = data[position + 4 : position + 2 + length]
        segments.append(Segment(marker, position, max(length - 2, 0), payload[:32]))
        if marker == 0xDB:
            _parse_tables(payload, tables)
        elif marker in _FRAME_HEADERS and frame is None:
            frame, frame_marker = payload, marker
        elif marker == 0xDA:
            end = _end_of_image(data, position + 2 + length)
            break
        position += 2 + length
    if frame is None or len(frame) < 6 or len(frame) < 6 + 3 * frame[5] or frame[5] == 0:
        return None
    precision, height, width, count = struct.unpack(">BHHB", frame[:6])
    component_tables = tuple(frame[6 + 3 * i + 2] for i in range(count))
    sampling = tuple((frame[6 + 3 * i + 1] >> 4, frame[6 + 3 * i + 1] & 15) for i in range(count))
    if component_tables[0] not in tables or any(0 in s for s in sampling):
        return None
    quality, exact = estimate_quality(tables[component_tables[0]])
    return JpegFacts(
        width=width,
        height=height,
        tables=tables,
        component_tables=component_tables,
        sampling=sampling,
        progressive=frame_marker == 0xC2,
        precision=precision,
        quality=quality,
        quality_exact=exact,
        segments=tuple(segments),
        trailing_bytes=len(data) - end if end > 0 else 0,
    )


def read_luma_coefficients(data: bytes) -> np.ndarray:
    """Quantised luma DCT coefficients exactly as stored: int16 (block rows, block columns, 8, 8), stored frame.

    [..., u, v] has vertical frequency u and horizontal frequency v. Call it only on data that a decoder has already
    accepted: libjpeg may end the process on garbage.

    Raises:
        OSError: libjpeg refuses the stream.
    """
    import jpeglib

    handle, path = tempfile.mkstemp(suffix=".jpg", prefix="fakeexplain_")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        return np.ascontiguousarray(jpeglib.read_dct(path).Y)
    finally:
        os.unlink(path)


def block_dct(plane: np.ndarray) -> np.ndarray:
    """Orthonormal DCT of the 8x8 blocks that start at (0, 0); partial blocks at the right and bottom are left out.

    Args:
        plane: float HxW (subtract 128 first to obtain JPEG's coefficients).

    Returns:
        float32 (H // 8, W // 8, 8, 8), [..., u, v] with vertical frequency u and horizontal frequency v.
    """
    height, width = plane.shape[0] // 8 * 8, plane.shape[1] // 8 * 8
    blocks = plane[:height, :width].astype(np.float32).reshape(height // 8, 8, width // 8, 8).transpose(0, 2, 1, 3)
    return DCT8 @ blocks @ DCT8.T
