"""Strings out of a file are data wherever they end up: report, terminal, JSON, spreadsheet."""

from __future__ import annotations

import csv
import html
import json
from pathlib import Path

import pytest
from PIL import PngImagePlugin
from rich.console import Console

from fakeexplain.batch import Job, examine_job, write_summary
from fakeexplain.examiner import Settings
from fakeexplain.report.terminal import terminal_summary
from tests.unit.metadata_files import ASTRONAUT, XMP, app_segment, camera_jpeg, encode, exif_block, insert, text
from tests.unit.signed_files import sign

SMALL = ASTRONAUT[:160, :200]
HOSTILE = "<script>alert(1)</script>\x1b[31m\x07‮[E1] [bold]x[/]"


def _xmp():
    words = html.escape(HOSTILE.replace("\x1b", "").replace("\x07", ""), quote=True)
    step = f"<x:action xmlns:x='http://ns.adobe.com/xap/1.0/sType/ResourceEvent#'>{words}</x:action>"
    credit = f"<p:Credit xmlns:p='http://ns.adobe.com/photoshop/1.0/'>photoshop {words}</p:Credit>"
    return insert(
        encode("JPEG", SMALL), app_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP % (step + credit).encode())
    )


def _exif():
    camera = (text(0x010F, HOSTILE), text(0x0110, HOSTILE), text(0x0131, "GIMP " + HOSTILE), text(0x0132, HOSTILE))
    return camera_jpeg(exif_block(camera, (text(0x9003, HOSTILE),)), rgb=SMALL)


def _prompt():
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", HOSTILE + "\nSteps: 1, Sampler: " + HOSTILE)
    info.add_text("Comment", HOSTILE)
    info.add_text("<b>key", HOSTILE)
    return encode("PNG", SMALL, pnginfo=info)


def _credentials():
    return sign(encode("JPEG", SMALL), "JPEG").replace(b"Test Program", b"<script>\x1b[3m")


@pytest.mark.parametrize("make", [_xmp, _exif, _prompt, _credentials])
def test_hostile_strings_stay_data_everywhere(tmp_path, make):
    name = "=cmd()<script>alert(1)</script>\x1b[31m.jpg".replace("/", "")
    (tmp_path / name).write_bytes(make())
    settings = Settings(instruments=("metadata",), expert=None)
    outcome = examine_job(Job(tmp_path / name, Path(name)), settings, tmp_path / "out", threads=1, resume=False)
    assert outcome.error == ""
    folder = tmp_path / "out" / name
    page = (folder / "report.html").read_text("utf-8")
    assert "<script>alert" not in page
    for character in ("\x1b", "\x07", "‮"):
        assert character not in page
    assert "&lt;script&gt;" in page  # it is there, as text
    stored = (folder / "examination.json").read_text("utf-8")
    assert "\x1b" not in json.dumps(json.loads(stored), ensure_ascii=False)
    console = Console(record=True, width=200, file=open("/dev/null", "w"), color_system=None)  # noqa: SIM115
    console.print(terminal_summary(outcome.examination))
    shown = console.export_text()
    assert "\x1b" not in shown
    for claim in outcome.examination.reasoning:
        assert set(claim.evidence_ids) <= {e.id for e in outcome.examination.evidence}
        cited = {part.split("]")[0] for part in claim.text.split("[E")[1:]}
        assert {f"E{c}" for c in cited} == set(claim.evidence_ids)
    write_summary([outcome], tmp_path)
    rows = list(csv.reader((tmp_path / "summary.csv").open(encoding="utf-8")))
    assert rows[1][0].startswith("'=")
