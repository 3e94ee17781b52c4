"""Strings out of a file become one clean short line, wherever in the file they stand."""

import json
import time

from PIL import PngImagePlugin

from fakeexplain.provenance.text import MAX_TEXT, clean_text
from tests.unit.metadata_files import ASTRONAUT, TAKEN, encode, examine, exif_block, text, with_exif


def test_strings_become_one_clean_short_line():
    hostile = "<script>alert(1)</script>\x1b[31mred\x07\r\n\u202egnp.exe\u2066" + "A" * 1_000_000
    line = clean_text(hostile)
    assert len(line) <= MAX_TEXT
    assert line.startswith("<script>alert(1)</script> [31mred gnp.exe")
    assert line.isprintable()
    assert clean_text(b"caf\xe9\x00rest") == "café"


def test_hostile_strings_give_clean_facts():
    evil = "Photoshop <script>\x1b]0;x\x07" + "B" * 15_000
    found = with_exif(exif_block((text(0x010F, evil), text(0x0131, evil), text(0x010E, evil)), TAKEN))
    for evidence in found.values():
        assert all(c.isprintable() or c.isspace() for c in evidence.model_dump_json())
        json.loads(evidence.model_dump_json())
        for value in evidence.details.values():
            if isinstance(value, str):
                assert len(value) <= MAX_TEXT
                assert value.isprintable()
    assert found["editor_software"].value.startswith("Photoshop <script> ]0;x B")


def test_a_megabyte_of_text_in_a_png_is_cut():
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "C" * 1_000_000, zip=True)
    start = time.perf_counter()
    facts = examine(encode("PNG", ASTRONAUT[:50, :50], pnginfo=info))["camera_facts"]
    assert len(facts.details["text Comment"]) == MAX_TEXT
    assert time.perf_counter() - start < 2
