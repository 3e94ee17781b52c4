"""Metadata facts: what is planted must be found, and clean files must stay clean."""

import struct

import cv2
import pytest
from PIL import Image, PngImagePlugin

from fakeexplain.instruments.metadata import Metadata
from tests.unit.metadata_files import (
    ASTRONAUT,
    CAMERA,
    CANON_NOTE,
    TAKEN,
    XMP,
    app_segment,
    camera_jpeg,
    encode,
    examine,
    exif_block,
    insert,
    jpeg,
    long,
    maker_note_entry,
    photoshop_block,
    text,
    with_exif,
    xmp_jpeg,
)


def test_clean_camera_file_has_facts_and_no_conflict():
    note = maker_note_entry(CANON_NOTE)
    block = exif_block(CAMERA, (*TAKEN, note), thumbnail=jpeg(cv2.resize(ASTRONAUT, (128, 128))))
    found = examine(camera_jpeg(block))
    assert set(found) == {"camera_facts", "thumbnail_match", "quantisation_tables"}
    facts = found["camera_facts"]
    assert facts.value == "Canon EOS 5D"
    assert facts.details["LensModel"] == "EF50mm f/1.8"
    assert facts.details["gps_present"] is False
    assert all(e.kind == "fact" and e.log10_nfa is None for e in found.values())
    assert not Metadata.localizes


def test_no_metadata_is_one_neutral_record():
    found = examine(jpeg())
    assert set(found) == {"no_metadata", "quantisation_tables"}
    assert found["no_metadata"].value == 0
    assert set(examine(encode("PNG"))) == {"no_metadata"}
    assert "says nothing" in found["no_metadata"].reference_text


@pytest.mark.parametrize(
    ("software", "kind"),
    [
        ("Adobe Photoshop 25.0 (Windows)", "can change picture content"),
        ("GIMP 2.10.34", "can change picture content"),
        ("Snapseed 2.0", "can change picture content"),
        ("Adobe Photoshop Lightroom Classic", "can change picture content"),
        ("darktable 4.6", "raw developer"),
        ("Instagram", "sharing service"),
    ],
)
def test_editor_in_exif_is_named(software, kind):
    editor = with_exif(exif_block((*CAMERA, text(0x0131, software))))["editor_software"]
    assert editor.value == software
    assert kind in editor.reference_text


@pytest.mark.parametrize("software", ["Ver.1.0", "G900VVRU2DQC2", "COOLPIX S10V1.0", "HDR+ 1.0.2", "17.4.1"])
def test_camera_firmware_is_no_editor(software):
    assert "editor_software" not in with_exif(exif_block((*CAMERA, text(0x0131, software))))


def test_photoshop_blocks_iptc_and_facebook_mark():
    iptc = b"\x1c\x02\x28" + struct.pack(">H", 14) + b"FBMD01000a9b00"
    iptc += b"\x1c\x02\x78" + struct.pack(">H", 9) + b"A caption"
    only_iptc = app_segment(0xED, b"Photoshop 3.0\x00" + photoshop_block(0x0404, iptc))
    found = examine(insert(jpeg(), only_iptc))
    assert found["editor_software"].value == "FBMD01000a9b00"
    assert "sharing service" in found["editor_software"].reference_text
    assert found["camera_facts"].details["IPTC Caption"] == "A caption"
    own = app_segment(
        0xED, b"Photoshop 3.0\x00" + photoshop_block(0x03ED, bytes(16)) + photoshop_block(0x0406, b"1234")
    )
    assert examine(insert(jpeg(), own))["editor_software"].value == "2 Photoshop resource blocks"


def test_generator_text_in_png_and_in_user_comment():
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat, highly detailed\nSteps: 20, Sampler: Euler a, CFG scale: 7")
    assert "a cat" in examine(encode("PNG", pnginfo=info))["generator_text"].value
    zipped = PngImagePlugin.PngInfo()
    zipped.add_text("workflow", '{"nodes": []}', zip=True)
    assert examine(encode("PNG", pnginfo=zipped))["generator_text"].value == "ComfyUI (workflow)"
    words = "portrait Steps: 30, Sampler: DPM++ 2M"
    for raw in (b"ASCII\x00\x00\x00" + words.encode(), b"UNICODE\x00" + words.encode("utf-16-le")):
        generated = with_exif(exif_block(CAMERA, [(0x9286, 7, len(raw), raw)]))["generator_text"]
        assert generated.value == "portrait"
        assert generated.details["generators"][0]["settings"] == {"Steps": "30", "Sampler": "DPM++ 2M"}
    source_type = b"<x:DigitalSourceType xmlns:x='http://iptc.org/std/Iptc4xmpExt/2008-02-29/'>%s</x:DigitalSourceType>"
    url = b"http://cv.iptc.org/newscodes/digitalsourcetype/"
    assert "generator_text" in examine(xmp_jpeg(XMP % (source_type % (url + b"trainedAlgorithmicMedia"))))
    assert "generator_text" not in examine(xmp_jpeg(XMP % (source_type % (url + b"digitalCapture"))))
    harmless = PngImagePlugin.PngInfo()
    harmless.add_text("Title", "Holiday")
    assert set(examine(encode("PNG", pnginfo=harmless))) == {"camera_facts"}


def test_date_conflicts():
    later = exif_block((text(0x0132, "2020:05:03 10:00:00"),), TAKEN)
    conflict = with_exif(later)["date_conflict"]
    assert "2.0 days after" in conflict.value
    gps = (text(0x001D, "2020:05:01"), (0x0007, 5, 3, struct.pack("<6I", 21, 1, 58, 1, 0, 1)))
    assert "date_conflict" not in with_exif(exif_block(CAMERA, TAKEN, gps))  # another time zone at most
    far = (text(0x001D, "2020:06:15"),)
    assert "GPS" in with_exif(exif_block(CAMERA, TAKEN, far))["date_conflict"].value
    assert "date_conflict" not in with_exif(exif_block((text(0x0132, "0000:00:00 00:00:00"),), TAKEN))


def test_dimension_conflict_tells_resizing_from_cropping():
    resized = with_exif(exif_block(CAMERA, (long(0xA002, 1024), long(0xA003, 1024))))["dimension_conflict"]
    assert (resized.value, resized.reference) == ("1024x1024", "512x512")
    assert "resized" in resized.reference_text
    cropped = with_exif(exif_block(CAMERA, (long(0xA002, 1024), long(0xA003, 768))))["dimension_conflict"]
    assert "cropped" in cropped.reference_text
    turned = with_exif(exif_block(CAMERA, (long(0xA002, 512), long(0xA003, 300))), ASTRONAUT[:, :300])
    assert "dimension_conflict" not in turned


def test_trailing_data_is_recognised():
    assert "trailing_data" not in examine(jpeg())
    archive = examine(jpeg() + b"PK\x03\x04secret")["trailing_data"]
    assert (archive.value, archive.reference_text) == (10, "a ZIP archive")
    second = jpeg(ASTRONAUT[:64, :64])
    assert examine(jpeg() + second)["trailing_data"].reference_text == "a further JPEG picture"
    assert examine(jpeg() + bytes(100))["trailing_data"].reference_text == "zeros only"
    assert examine(encode("PNG") + b"%PDF-1.4")["trailing_data"].value == 8
    assert "trailing_data" not in examine(encode("PNG"))
    assert "trailing_data" not in examine(encode("WEBP", ASTRONAUT[:101, :77], quality=70))
    assert examine(encode("WEBP") + b"Rar!\x1a\x07")["trailing_data"].reference_text == "a RAR archive"


@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "WEBP", "BMP", "GIF", "AVIF"])
def test_every_format_is_examined(format_name):
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Nikon", "D850"
    options = {"exif": exif} if format_name in ("PNG", "TIFF", "WEBP", "AVIF") else {}
    found = examine(encode(format_name, ASTRONAUT[:64, :48], **options))
    assert "broken_metadata" not in found
    if options:
        assert found["camera_facts"].value == "Nikon D850"
    else:
        assert "no_metadata" in found


def test_block_without_a_camera_says_so():
    facts = with_exif(exif_block((text(0x013B, "Somebody"),)))["camera_facts"]
    assert facts.value is None
    assert facts.quantity == "metadata that names no camera"
    assert facts.details["Artist"] == "Somebody"
