"""History of the file: editing steps, Photoshop blocks, prompts of generators, maker notes, order, GPS time."""

from __future__ import annotations

import hashlib
import json
import struct

import cv2
import pytest
from PIL import PngImagePlugin

from fakeexplain.imaging.source import SourceImage
from fakeexplain.instruments.metadata import Metadata
from fakeexplain.provenance.blocks import read_blocks
from fakeexplain.provenance.container import order_remarks
from fakeexplain.provenance.generators import find_generators
from fakeexplain.provenance.maker_notes import read_maker_note
from fakeexplain.provenance.xmp import parse_xmp
from fakeexplain.reasoning.wording import fact_sentence
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
    maker_note_entry,
    photoshop_block,
    text,
    with_exif,
    xmp_jpeg,
)

# ---- XMP ----


def test_steps_of_the_editing_history_are_kept_together():
    facts = parse_xmp(XMP % b"")
    assert facts.steps == [
        {"action": "converted", "softwareAgent": "Adobe Photoshop Camera Raw 11"},
        {"action": "saved", "when": "2019-03-01T10:00:00+01:00"},
    ]
    assert examine(xmp_jpeg(XMP % b""))["edit_history"].details["steps"] == facts.steps


def test_local_edits_and_pasted_documents_are_counted():
    body = (
        b"<crs:RetouchAreas xmlns:crs='http://ns.adobe.com/camera-raw-settings/1.0/'><rdf:Seq>"
        b"<rdf:li>centerX = 0.5</rdf:li><rdf:li>centerX = 0.7</rdf:li></rdf:Seq></crs:RetouchAreas>"
        b"<ps:DocumentAncestors xmlns:ps='http://ns.adobe.com/photoshop/1.0/'><rdf:Bag><rdf:li>xmp.did:1</rdf:li>"
        b"</rdf:Bag></ps:DocumentAncestors>"
    )
    fact = examine(xmp_jpeg(XMP % body))["local_edits_listed"]
    assert fact.value == "healed or cloned spots: 2, documents that parts were pasted from: 1"
    assert "local_edits_listed" not in examine(xmp_jpeg(XMP % b""))


# ---- Photoshop blocks ----


def _photoshop(*blocks):
    return app_segment(0xED, b"Photoshop 3.0\x00" + b"".join(photoshop_block(i, payload) for i, payload in blocks))


def test_photoshop_blocks_are_read():
    def string(words):
        return struct.pack(">I", len(words) + 1) + (words + "\0").encode("utf-16-be")

    version = struct.pack(">IB", 1, 1) + string("Adobe Photoshop") + string("Adobe Photoshop CC") + bytes(4)
    preview = jpeg(cv2.resize(255 - ASTRONAUT, (96, 96)))
    data = insert(
        jpeg(),
        _photoshop(
            (0x0406, struct.pack(">hHH", 6, 1, 3)),
            (0x0421, version),
            (0x07D0, bytes(26)),
            (0x040C, struct.pack(">IIIIIIHH", 1, 96, 96, 288, 27648, len(preview), 24, 1) + preview),
        ),
    )
    found = examine(data)
    details = found["camera_facts"].details
    assert details["Photoshop writer"] == "Adobe Photoshop"
    assert details["Photoshop reader"] == "Adobe Photoshop CC"
    assert details["Photoshop jpeg_quality"] == 10
    assert details["Photoshop paths"] == 1
    assert details["Photoshop blocks"] == ["JPEG quality", "preview", "version", "saved path"]
    assert "Photoshop block" in found["thumbnail_mismatch"].quantity  # its preview shows the negative
    assert "iptc_changed" not in found


def test_captions_changed_after_photoshop_are_noticed():
    iptc = b"\x1c\x02\x78" + struct.pack(">H", 9) + b"A caption"
    digest = hashlib.md5(iptc).digest()
    same = examine(insert(jpeg(), _photoshop((0x0404, iptc), (0x0425, digest))))
    assert "iptc_changed" not in same
    assert same["camera_facts"].details["Photoshop iptc_unchanged"] is True
    changed = examine(insert(jpeg(), _photoshop((0x0404, iptc), (0x0425, bytes(15) + b"x"))))
    assert "another program" in changed["iptc_changed"].reference_text


# ---- image generators ----

A1111 = (
    "a castle, (masterpiece:1.2)\nNegative prompt: blurry, text\n"
    "Steps: 30, Sampler: DPM++ 2M, CFG scale: 7, Seed: 123456, Size: 512x768, Model hash: abc, Model: dreamer, "
    'Lora hashes: "x: 12, y: 34", Version: v1.9'
)
COMFY = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 77, "steps": 20, "cfg": 8.0, "sampler_name": "euler"}},
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sdxl.safetensors"}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a dog on the moon", "clip": ["4", 1]}},
}
NOVEL = {"prompt": "girl, garden", "steps": 28, "seed": 5, "sampler": "k_euler", "uc": "lowres", "scale": 11}
INVOKE = {"positive_prompt": "a barn", "negative_prompt": "cars", "seed": 9, "steps": 30, "model": {"name": "flux"}}


@pytest.mark.parametrize(
    ("texts", "generator", "prompt", "model", "seed"),
    [
        ({"parameters": A1111}, "a Stable Diffusion web UI", "a castle, (masterpiece:1.2)", "dreamer", "123456"),
        ({"prompt": json.dumps(COMFY)}, "ComfyUI", "a dog on the moon", "sdxl.safetensors", 77),
        ({"Software": "NovelAI", "Comment": json.dumps(NOVEL)}, "NovelAI", "girl, garden", None, 5),
        ({"invokeai_metadata": json.dumps(INVOKE)}, "InvokeAI", "a barn", "flux", 9),
        (
            {"parameters": json.dumps({"prompt": "a fox", "steps": 30, "seed": 1, "fooocus_scheme": "fooocus"})},
            "Fooocus",
            "a fox",
            None,
            1,
        ),
        (
            {"parameters": json.dumps({"sui_image_params": {"prompt": "a hat", "seed": 4, "steps": 9}})},
            "SwarmUI",
            "a hat",
            None,
            4,
        ),
        (
            {"Description": "old tram --v 6.0 Job ID: 0a1b2c3d-0000-4000-8000-0123456789ab"},
            "Midjourney",
            "old tram",
            None,
            None,
        ),
        ({"Dream": '"a red boat" -s50 -S123 -W512'}, "InvokeAI (lstein)", "a red boat", None, None),
    ],
    ids=["a1111", "comfyui", "novelai", "invokeai", "fooocus", "swarmui", "midjourney", "dream"],
)
def test_prompts_of_known_generators_are_read(texts, generator, prompt, model, seed):
    info = PngImagePlugin.PngInfo()
    for key, value in texts.items():
        info.add_text(key, value, zip=len(value) > 100)
    fact = examine(encode("PNG", ASTRONAUT[:64, :64], pnginfo=info))["generator_text"]
    (found,) = fact.details["generators"]
    assert (found["generator"], found["prompt"]) == (generator, prompt)
    assert (found.get("model"), found.get("seed")) == (model, seed)
    assert fact.value == prompt
    assert generator in fact.reference_text
    json.dumps(fact.details)


def test_settings_and_negative_prompt_of_a_web_ui():
    (found,) = find_generators({"text chunk parameters": A1111})
    assert found["negative_prompt"] == "blurry, text"
    assert found["settings"]["Size"] == "512x768"
    assert found["settings"]["Lora hashes"] == "x: 12, y: 34"


@pytest.mark.parametrize(
    "text",
    ["", "Holiday in Rome", '{"title": "x"}', '{"prompt": "what do you see?"}', "{" * 5000, '["prompt"]', "Steps: many",
     '{"a": ' * 3000 + "1" + "}" * 3000, "null", "Sampler of teas"],
)  # fmt: skip
def test_other_texts_are_no_generators(text):
    assert find_generators({"text chunk Comment": text}) == []


def test_a_generators_text_cannot_stall_the_reader():
    import time

    started = time.process_time()
    for hostile in ("a: " * 80000, "Steps: 1, Sampler" + ",a" * 100000, '"' + "\\" * 200000, "Job ID: --x " * 20000):
        find_generators({"text chunk parameters": "Steps: 2, Sampler: x, " + hostile, "text chunk Dream": hostile})
    assert time.process_time() - started < 3


# ---- maker notes ----

_SONY = b"SONY DSC \x00\x00\x00"


def _note_with_addresses(start, displacement=0):
    """A note of Sony's kind with two values outside the directory, addressed from the start of the EXIF block."""
    entries, heap = b"", b""
    values = start + len(_SONY) + 2 + 2 * 12 + 4 + displacement
    for tag, payload in ((0x9001, b"a" * 40), (0x9002, b"b" * 60)):
        entries += struct.pack("<HHII", tag, 7, len(payload), values + len(heap))
        heap += payload
    return _SONY + struct.pack("<H", 2) + entries + bytes(4) + heap


def _block_with_note(displacement=0, make="SONY"):
    camera = (text(0x010F, make),)
    start = exif_block(camera, (*TAKEN, maker_note_entry(_note_with_addresses(0)))).index(_SONY)
    return exif_block(camera, (*TAKEN, maker_note_entry(_note_with_addresses(start, displacement))))


def test_maker_note_sound_moved_broken_absent_and_unlisted():
    sound = read_maker_note(_block_with_note(), "SONY")
    assert (sound.state, sound.maker, sound.entries) == ("sound", "Sony", 2)
    moved = read_maker_note(_block_with_note(234), "SONY")
    assert (moved.state, moved.displacement) == ("moved", 234)
    cut = _block_with_note().replace(struct.pack("<HHI", 0x9001, 7, 40), struct.pack("<HHI", 0x9001, 99, 40))
    assert read_maker_note(cut, "SONY").state == "broken"
    assert read_maker_note(exif_block(CAMERA, TAKEN), "Canon").state == "absent"
    other = exif_block(CAMERA, (*TAKEN, maker_note_entry(b"ACME-private-block" * 4)))
    assert read_maker_note(other, "ACME").state == "unlisted"
    assert read_maker_note(exif_block(CAMERA, (*TAKEN, maker_note_entry(CANON_NOTE))), "Canon").state == "sound"


def test_maker_notes_become_facts_only_where_a_program_left_a_trace():
    exposure = (0x829A, 5, 1, struct.pack("<II", 1, 100))
    moved = examine(camera_jpeg(_block_with_note(234)))["maker_note"]
    assert "234 bytes" in moved.reference_text
    assert "SONY" in fact_sentence(moved)
    left_out = with_exif(exif_block(CAMERA, (*TAKEN, exposure)))["maker_note"]
    assert "there is none" in left_out.reference_text
    for silent in (
        _block_with_note(),
        exif_block((text(0x010F, "ACME"),), (*TAKEN, exposure)),
        exif_block((text(0x010F, "ACME"),), (*TAKEN, maker_note_entry(b"ACME" * 20))),
    ):
        found = examine(camera_jpeg(silent))
        assert "maker_note" not in found
        assert found["camera_facts"].details["maker_note"] in ("sound", "absent", "unlisted")


# ---- order of segments ----


def test_order_of_segments_of_cameras_and_of_programs():
    assert "segment_order" not in examine(jpeg())
    assert "segment_order" not in examine(camera_jpeg(exif_block(CAMERA, TAKEN)))
    fact = with_exif(exif_block(CAMERA, TAKEN))["segment_order"]
    assert fact.value == "the JFIF segment stands before the Exif segment"
    assert fact.details["order"][:2] == ["APP0 JFIF", "APP1 Exif"]
    twice = camera_jpeg(exif_block(CAMERA, TAKEN))
    exif = app_segment(0xE1, b"Exif\x00\x00" + exif_block(CAMERA))
    assert "2 segments of the kind APP1 Exif" in examine(insert(twice, exif))["segment_order"].details["remarks"]
    assert order_remarks(["DQT", "APP1 XMP", "SOF0"]) == ["APP1 XMP stands after the picture's tables"]


# ---- dates and GPS ----


def _gps(date, hours, minutes=0, longitude=None):
    entries = [text(0x001D, date), (0x0007, 5, 3, struct.pack("<6I", hours, 1, minutes, 1, 30, 1))]
    if longitude is not None:
        entries.append(text(3, "E" if longitude >= 0 else "W"))
        entries.append((4, 5, 3, struct.pack("<6I", abs(longitude), 1, 0, 1, 0, 1)))
    return tuple(entries)


@pytest.mark.parametrize(
    ("zone", "gps", "words"),
    [
        ("+02:00", _gps("2020:05:01", 8), None),
        ("+02:00", _gps("2020:05:01", 7, 20), None),  # a fix of 40 minutes ago
        ("+02:00", _gps("2020:05:01", 12), "4.01 hours after DateTimeOriginal"),
        ("-05:00", _gps("2020:05:01", 10), "4.99 hours before DateTimeOriginal"),
        (None, _gps("2020:05:01", 8, longitude=13), None),
        (None, _gps("2020:05:01", 1, longitude=13), "lies about UTC+0.9 h"),
        (None, _gps("2020:05:01", 1, longitude=139), None),
        (None, _gps("2020:05:01", 23), "more than any time zone explains"),
        (None, _gps("2020:05:01", 22), None),
        ("+09:00", _gps("2020:05:01", 1, longitude=-100), "does not suit the GPS position"),
    ],
)
def test_gps_time_against_local_time_zone_and_longitude(zone, gps, words):
    taken = TAKEN if zone is None else (*TAKEN, text(0x9011, zone))
    conflict = with_exif(exif_block(CAMERA, taken, gps)).get("date_conflict")
    if words is None:
        assert conflict is None
    else:
        assert words in " ".join(conflict.details["conflicts"])


# ---- all of it ----


def test_every_fact_of_history_reads_as_one_sentence_and_as_json():
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", A1111)
    files = [
        xmp_jpeg(XMP % b""),
        camera_jpeg(_block_with_note(234)),
        jpeg(exif=b"Exif\x00\x00" + exif_block(CAMERA, TAKEN)),
        encode("PNG", ASTRONAUT[:64, :64], pnginfo=info),
        insert(jpeg(), _photoshop((0x0404, b"\x1c\x02\x78\x00\x01A"), (0x0425, bytes(15) + b"x"))),
    ]
    for data in files:
        for record in Metadata().examine(SourceImage.from_bytes(data)):
            sentence = fact_sentence(record)
            assert sentence.endswith(".")
            assert "{" not in sentence
            assert "None" not in sentence
            assert len(sentence) < 1200
            json.loads(record.model_dump_json())


def test_blocks_of_a_damaged_photoshop_segment_never_raise():
    sound = _photoshop((0x0406, b"\x00\x06\x00\x01"), (0x0421, bytes(40)), (0x040C, bytes(40)), (0x0425, bytes(16)))
    for cut in range(20, len(sound), 7):
        damaged = app_segment(0xED, sound[4:cut])
        read_blocks(SourceImage.from_bytes(insert(jpeg(ASTRONAUT[:32, :32]), damaged)))
