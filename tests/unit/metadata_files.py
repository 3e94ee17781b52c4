"""Files with planted metadata for the tests: EXIF, XMP, IPTC and PNG blocks built byte by byte, sound or broken."""

import io
import struct

from PIL import Image
from skimage import data as pictures

from fakeexplain.imaging.source import SourceImage
from fakeexplain.instruments.metadata import Metadata

ASTRONAUT = pictures.astronaut()


def jpeg(rgb=ASTRONAUT, **options):
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", **{"quality": 90} | options)
    return stream.getvalue()


def encode(format_name, rgb=ASTRONAUT, **options):
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, format_name, **options)
    return stream.getvalue()


def directory(entries, at, following=0):
    """One little-endian TIFF directory (entries: tag, type, count, payload) placed at offset `at`."""
    table, heap = b"", b""
    heap_at = at + 2 + 12 * len(entries) + 4
    for tag, kind, count, payload in sorted(entries):
        if len(payload) <= 4:
            value = payload.ljust(4, b"\x00")
        else:
            value = struct.pack("<I", heap_at + len(heap))
            heap += payload
        table += struct.pack("<HHI", tag, kind, count) + value
    return struct.pack("<H", len(entries)) + table + struct.pack("<I", following) + heap


def text(tag, value):
    raw = value if isinstance(value, bytes) else value.encode() + b"\x00"
    return (tag, 2, len(raw), raw)


def long(tag, value):
    return (tag, 4, 1, struct.pack("<I", value))


def exif_block(ifd0=(), sub=(), gps=(), thumbnail=None):
    """A sound EXIF block with a sub-directory, GPS and preview."""
    block = b"II*\x00\x08\x00\x00\x00"
    pointers = [long(0x8769, 0)] * bool(sub) + [long(0x8825, 0)] * bool(gps)
    length = len(directory([*ifd0, *pointers], 8))
    at, tail, entries, following = 8 + length, b"", list(ifd0), 0
    for tag, inner in ((0x8769, sub), (0x8825, gps)):
        if inner:
            entries.append(long(tag, at + len(tail)))
            tail += directory(list(inner), at + len(tail))
    if thumbnail is not None:
        following = at + len(tail)
        size = len(directory([long(0x0201, 0), long(0x0202, 0)], 0))
        start = following + size
        tail += directory([long(0x0201, start), long(0x0202, len(thumbnail))], following) + thumbnail
    return block + directory(entries, 8, following) + tail


def app_segment(marker, payload):
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def insert(data, *segments):
    return data[:2] + b"".join(segments) + data[2:]


def photoshop_block(resource_id, payload):
    return (
        b"8BIM"
        + struct.pack(">H", resource_id)
        + b"\x00\x00"
        + struct.pack(">I", len(payload))
        + payload
        + (b"\x00" * (len(payload) % 2))
    )


XMP = b"""<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
 xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#" xmp:CreatorTool="Adobe Photoshop CC 2019">
<xmpMM:History><rdf:Seq><rdf:li rdf:parseType="Resource"><stEvt:action>converted</stEvt:action>
<stEvt:softwareAgent>Adobe Photoshop Camera Raw 11</stEvt:softwareAgent></rdf:li>
<rdf:li stEvt:action="saved" stEvt:when="2019-03-01T10:00:00+01:00"/></rdf:Seq></xmpMM:History>
%s</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def xmp_jpeg(packet):
    return insert(jpeg(), app_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\x00" + packet))


def examine(data):
    return {e.trace: e for e in Metadata().examine(SourceImage.from_bytes(data))}


def with_exif(block, rgb=ASTRONAUT, **options):
    return examine(jpeg(rgb, exif=b"Exif\x00\x00" + block, **options))


CAMERA = (text(0x010F, "Canon"), text(0x0110, "Canon EOS 5D"), text(0x0132, "2020:05:01 10:00:00"))
TAKEN = (
    text(0x9003, "2020:05:01 10:00:00"),
    text(0xA434, "EF50mm f/1.8"),
    long(0xA002, 512),
    long(0xA003, 512),
)


def camera_jpeg(block, **options):
    """A JPEG as cameras write it: EXIF first, no JFIF segment."""
    data = jpeg(**options)
    assert data[2:4] == b"\xff\xe0"
    return data[:2] + app_segment(0xE1, b"Exif\x00\x00" + block) + data[4 + int.from_bytes(data[4:6], "big") :]


# A note of Canon's kind without values outside its directory, so that it is sound wherever it lies.
CANON_NOTE = struct.pack("<H", 1) + struct.pack("<HHI4s", 8, 4, 1, b"\x01\x02\x03\x04") + bytes(4)


def maker_note_entry(note):
    return (0x927C, 7, len(note), note)
