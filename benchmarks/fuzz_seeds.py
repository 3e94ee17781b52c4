"""Sound files of every readable format with their corner cases, and known bombs: what `fuzz.py` starts from.

All are made here from scikit-image's photographs, small on purpose. HEIC has no free encoder among the dependencies, so
its coded picture (64x64, part of scikit-image's astronaut) is stored and the container is written here.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin
from skimage import data as pictures

_HEVC = bytes.fromhex(
    "0000000140010c01ffff01600000030090000003000003001e9598090000000142010101600000030090000003000003001e"
    "a020810596566924cae68080000003008000000c84000000014401c172b422400000012801af0458d04ee44d70159761ea52"
    "74452a54fbbcfebf17c0110a93b0b2638f37bf30182a966815e1dccc63f210da96227925ee40df7a81868eaf994c1bfed622"
    "d103da62515bcb26f9d3401b22478f428e8d4eda5e5259c6c713ce1f788864475196c6ab757148faec8a71fee854d9fb10cd"
    "96b0"
)
_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="Test" '
    b'xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#">'
    b'<xmpMM:History><rdf:Seq><rdf:li stEvt:action="saved" stEvt:when="2020-01-01"/></rdf:Seq></xmpMM:History>'
    b"</rdf:Description></rdf:RDF></x:xmpmeta>"
)


def _encode(image: Image.Image, format_name: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format_name, **options)
    return stream.getvalue()


def _segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def _exif(thumbnail: bytes) -> bytes:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112], exif[0x0132] = "Canon", "Canon EOS", 6, "2020:05:01 10:00:00"
    exif.get_ifd(0x8769).update({0x9003: "2020:05:01 10:00:00", 0x9286: b"ASCII\0\0\0hello", 0x927C: bytes(40)})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 1.0, 2.0), 3: "E", 4: (11.0, 1.0, 2.0), 29: "2020:05:01"})
    return exif.tobytes()


def heic(coded: bytes = _HEVC, width: int = 64, height: int = 64) -> bytes:
    """A HEIC file around an HEVC picture in Annex B form (parameter sets and one slice)."""
    units = [u for u in coded.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01").split(b"\x00\x00\x01") if u]
    sets = [u for u in units if (u[0] >> 1 & 63) in (32, 33, 34)]
    picture = b"".join(struct.pack(">I", len(u)) + u for u in units if (u[0] >> 1 & 63) < 32)

    def box(kind: bytes, *parts: bytes) -> bytes:
        body = b"".join(parts)
        return struct.pack(">I4s", len(body) + 8, kind) + body

    arrays = b"".join(struct.pack(">BHH", 0x80 | u[0] >> 1 & 63, 1, len(u)) + u for u in sets)
    profile = struct.pack(">BIIHB", 1, 0x60000000, 0x90000000, 0, 30)
    configuration = box(b"hvcC", b"\x01", profile, b"\xf0\x00\xfc\xfd\xf8\xf8\x00\x00\x0f", bytes([len(sets)]), arrays)
    size = box(b"ispe", bytes(4), struct.pack(">II", width, height))
    properties = box(b"iprp", box(b"ipco", configuration, size), box(b"ipma", bytes(4), b"\0\0\0\1\0\1\2\x81\x02"))
    head = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    entry = box(b"infe", b"\x02\0\0\0", b"\0\1\0\0", b"hvc1", b"\0")
    for start in (0, 1):  # the location of the picture follows from the length of what stands before it
        location = box(b"iloc", bytes(4), b"\x44\0", b"\0\1\0\1\0\0\0\1", struct.pack(">II", start, len(picture)))
        meta = box(
            b"meta",
            bytes(4),
            box(b"hdlr", bytes(8), b"pict", bytes(13)),
            box(b"pitm", bytes(4), b"\0\1"),
            box(b"iinf", bytes(4), b"\0\1", entry),
            location,
            properties,
        )
        start = len(head) + len(meta) + 8
        meta = meta.replace(location, location[:-8] + struct.pack(">II", start, len(picture)))
    return head + meta + box(b"mdat", picture)


def seeds() -> dict[str, bytes]:
    """Name ("jpeg progressive", ...) -> bytes; the first word of the name is the format."""
    rgb = np.ascontiguousarray(pictures.astronaut()[60:156, 150:278])
    image, grey = Image.fromarray(rgb), Image.fromarray(rgb[..., 1])
    alpha = Image.fromarray(np.dstack([rgb, rgb[..., 0]]))
    deep = Image.fromarray(rgb[..., 0].astype(np.uint16) * 257)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    thumbnail = _encode(image.resize((64, 48)), "JPEG")
    exif = _exif(thumbnail)
    texts = PngImagePlugin.PngInfo()
    texts.add_text("parameters", "a cat\nSteps: 20, Sampler: Euler, Seed: 1", zip=True)
    texts.add_itxt("prompt", json.dumps({"1": {"class_type": "KSampler", "inputs": {"seed": 1}}}), zip=True)
    texts.add_text("Comment", "plain")
    baseline = _encode(image, "JPEG", quality=85, exif=exif, icc_profile=profile)
    blocks = b"Photoshop 3.0\0" + b"".join(
        b"8BIM" + struct.pack(">HHI", i, 0, len(p)) + p + bytes(len(p) % 2)
        for i, p in ((0x0404, b"\x1c\x02\x78\x00\x05hello"), (0x0406, b"\0\6\0\1\0\1"), (0x0425, bytes(16)))
    )
    full = (
        baseline[:2] + _segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + _XMP) + _segment(0xED, blocks) + baseline[2:]
    )
    frames = [Image.fromarray(np.roll(rgb, 9 * k, axis=1)) for k in range(3)]
    animated = {"save_all": True, "append_images": frames[1:], "duration": 50}
    found = {
        "jpeg full": full,
        "jpeg progressive": _encode(image, "JPEG", quality=60, progressive=True, comment="hello"),
        "jpeg 444": _encode(image, "JPEG", quality=95, subsampling=0, restart_marker_blocks=3),
        "jpeg grey": _encode(grey, "JPEG", quality=80),
        "jpeg cmyk": _encode(image.convert("CMYK"), "JPEG", quality=80),
        "jpeg mpo": _encode(image.copy(), "MPO", save_all=True, append_images=[image.rotate(180)]),
        "jpeg trailer": baseline + b"PK\x03\x04" + thumbnail,
        "png rgb": _encode(image, "PNG", pnginfo=texts, exif=exif, icc_profile=profile),
        "png alpha": _encode(alpha, "PNG"),
        "png palette": _encode(image.quantize(16), "PNG", transparency=3),
        "png bits": _encode(grey.convert("1"), "PNG"),
        "png 16": _encode(deep, "PNG"),
        "tiff raw": _encode(image, "TIFF", exif=exif),
        "tiff lzw": _encode(image, "TIFF", compression="tiff_lzw"),
        "tiff deflate": _encode(alpha, "TIFF", compression="tiff_adobe_deflate"),
        "tiff jpeg": _encode(image, "TIFF", compression="jpeg"),
        "tiff g4": _encode(grey.convert("1"), "TIFF", compression="group4"),
        "tiff 16": _encode(deep, "TIFF"),
        "tiff pages": _encode(frames[0], "TIFF", save_all=True, append_images=frames[1:]),
        "webp lossy": _encode(image, "WEBP", quality=70, exif=exif, icc_profile=profile, xmp=_XMP),
        "webp lossless": _encode(alpha, "WEBP", lossless=True),
        "webp animated": _encode(frames[0], "WEBP", **animated),
        "gif": _encode(image.quantize(32), "GIF", transparency=1),
        "gif animated": _encode(frames[0].quantize(8), "GIF", **animated),
        "bmp": _encode(image, "BMP"),
        "bmp palette": _encode(image.quantize(16), "BMP"),
        "avif": _encode(image, "AVIF", quality=40, exif=exif),
        "heic": heic(),
    }
    return found


# ---- bombs ----


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def _png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2, interlace: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + b"".join(chunks) + _chunk(b"IEND", b"")


def _zeros(size: int) -> bytes:
    """A zlib stream of `size` zeros, made without holding them."""
    packer, block = zlib.compressobj(6), bytes(1 << 20)
    parts = [packer.compress(block) for _ in range(size >> 20)]
    return b"".join([*parts, packer.compress(bytes(size & 0xFFFFF)), packer.flush()])


def _tiff(*entries: tuple[int, int, int, int], tail: bytes = b"", following: int = 0) -> bytes:
    """Little-endian TIFF of one directory at 8; entries are (tag, type, count, value)."""
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *e) for e in sorted(entries))
    return b"II*\0\x08\0\0\0" + body + struct.pack("<I", following) + tail


def _bmp(start: int, width: int, height: int, bits: int, compression: int, colours: int) -> bytes:
    header = (start + 1000, 0, start, 40, width, height, 1, bits, compression, 0, 0, 0, colours, 0)
    return b"BM" + struct.pack("<IIIIiiHHIIIIII", *header)


def _many_scans() -> bytes:
    """A sound progressive JPEG of 64 megapixels whose last scan stands there a thousand times."""
    jpeg = _encode(Image.new("RGB", (8000, 8000)), "JPEG", progressive=True)
    last = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    return jpeg[:-2] + last * 1000 + jpeg[-2:]


def _deflated_tiff(width: int, height: int) -> bytes:
    plane = _zeros(width * height)
    longs = {256: width, 257: height, 278: height, 273: 8 + 2 + 12 * 9 + 4, 279: len(plane)}
    shorts = {258: 8, 259: 8, 262: 1, 277: 1}
    entries = [(tag, 4, 1, v) for tag, v in longs.items()] + [(tag, 3, 1, v) for tag, v in shorts.items()]
    return _tiff(*entries, tail=plane)


def bombs() -> dict[str, Callable[[], bytes]]:
    """Name -> maker of a file made to exhaust memory, time or recursion; the first word of the name is the format.

    Those that stay under the pixel limit are the telling ones: the header check cannot refuse them.
    """
    small, large = 11000, 12000  # 132 megapixels, just under the default limit of 150
    tiny = [(256, 4, 1, 16), (257, 4, 1, 16), (258, 3, 1, 8), (262, 3, 1, 1), (278, 4, 1, 16)]
    strip = [(273, 4, 1, 8), (279, 4, 1, 256)]
    pixels = _chunk(b"IDAT", zlib.compress(bytes(200)))
    black = Image.new("RGB", (8, 8))
    frame = b"\x2c" + struct.pack("<HHHH", 0, 0, small, large) + b"\0" + b"\x02\x01\x04\x00"
    gif = b"GIF89a" + struct.pack("<HH", small, large) + b"\x80\0\0" + bytes(6)

    def large_black(format_name: str, **options: object) -> bytes:
        return _encode(Image.new("RGB", (small, large)), format_name, **options)

    def flat_png(bytes_per_pixel: int, **header: int) -> bytes:
        return _png(small, large, _chunk(b"IDAT", _zeros((small * bytes_per_pixel + 1) * large)), **header)

    return {
        "png pixels": lambda: _png(60000, 60000, _chunk(b"IDAT", zlib.compress(bytes(1000)))),
        "png zeros": lambda: flat_png(3),
        "png 16 bits": lambda: flat_png(6, depth=16),
        "png interlaced": lambda: flat_png(3, interlace=1),
        "png text": lambda: _png(8, 8, _chunk(b"zTXt", b"Comment\0\0" + _zeros(1 << 30)), pixels),
        "png profile": lambda: _png(8, 8, _chunk(b"iCCP", b"x\0\0" + _zeros(1 << 30)), pixels),
        "png chunks": lambda: _png(8, 8, _chunk(b"tEXt", b"a\0b") * 200_000, pixels),
        "tiff deflate": lambda: _deflated_tiff(small, large),
        "tiff pixels": lambda: _tiff(
            (256, 4, 1, 1 << 30), (257, 4, 1, 1 << 30), (258, 3, 1, 8), (262, 3, 1, 1), *strip
        ),
        "tiff loop": lambda: _tiff(*tiny, *strip, tail=bytes(300), following=8),
        "tiff subloop": lambda: _tiff(*tiny, *strip, (34665, 4, 1, 8), (34853, 4, 1, 8), tail=bytes(300)),
        "tiff counts": lambda: _tiff(*tiny, (273, 4, 0xFFFFFFF, 8), (279, 4, 0xFFFFFFF, 8), tail=bytes(300)),
        "tiff strips": lambda: _tiff(*tiny[:4], (278, 4, 1, 1), (273, 4, 16, 8), (279, 4, 16, 8), tail=bytes(300)),
        "webp size": lambda: b"RIFF\x1e\0\0\0WEBPVP8L\x12\0\0\0\x2f\xff\xff\xff\x0f" + bytes(13),
        "webp pixels": lambda: large_black("WEBP", lossless=True, quality=0, method=0),
        "gif screen": lambda: b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + frame + b"\x3b",
        "gif frames": lambda: gif + frame * 3000 + b"\x3b",
        "gif pixels": lambda: _encode(Image.new("P", (small, large)), "GIF"),
        "jpeg size": lambda: _encode(black, "JPEG").replace(b"\0\x08\0\x08", b"\xff\xff\xff\xff", 1),
        "jpeg pixels": lambda: large_black("JPEG", progressive=True),
        "jpeg scans": _many_scans,
        "heic size": lambda: heic(width=small, height=large),
        "heic pixels": lambda: heic(width=0x7FFFFFFF, height=0x7FFFFFFF),
        "bmp size": lambda: _bmp(54, small, large, 24, 0, 0) + bytes(90),
        "bmp rle": lambda: _bmp(1078, small, large, 8, 1, 256) + bytes(1024) + b"\xff\0" * 400,
    }
