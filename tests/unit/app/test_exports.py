from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
import zlib
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from app import exports, handlers
from app.errors import AppError
from fakeexplain.imaging.regions import decode_mask
from fakeexplain.records import Examination

HOSTILE = '<script>alert(1)</script> "x" & \x1b[31m'


@pytest.fixture
def remarked(service, forged_png):
    view = handlers.examine(service, forged_png, '"><img src=x>.png')
    handlers.note(service, view.id, HOSTILE, evidence_id="E1", status="rejected", author="<b>A</b>")
    yield view
    handlers.forget(service, view.id)


def test_html_carries_remarks_and_no_markup_of_strangers(service, remarked):
    page = exports.export(service, remarked.id, "html").data.decode()
    assert exports.REMARKS_TITLE in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "E1: rejected" in page
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "<b>A</b>" not in page
    assert "\x1b" not in page
    assert page.index(exports.REMARKS_TITLE) < page.index("</main>")


@pytest.fixture
def unremarked(service, forged_png):
    """The same pixels in another file: other tests leave remarks on the shared one."""
    view = handlers.examine(service, forged_png + b"\0", "unremarked.png")
    yield view
    handlers.forget(service, view.id)


def test_html_without_remarks_is_the_librarys_report(service, unremarked):
    assert exports.REMARKS_TITLE not in exports.export(service, unremarked.id, "html").data.decode()


def test_pdf_has_the_remarks(service, remarked, unremarked):
    with_remarks = exports.export(service, remarked.id, "pdf")
    without = exports.export(service, unremarked.id, "pdf")
    assert with_remarks.data.startswith(b"%PDF")
    assert with_remarks.name.endswith(".report.pdf")
    assert shown_strings(with_remarks.data) >= shown_strings(without.data) + 8  # heading, note, table


def shown_strings(pdf: bytes) -> int:
    """Number of shown strings on all pages."""
    count = 0
    for raw in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.S):
        with suppress(zlib.error):  # pictures
            count += zlib.decompress(raw).count(b" Tj")
    return count


def test_json_reads_back(service, examined):
    made = exports.export(service, examined.id, "json")
    assert Examination.model_validate_json(made.data) == service.picture(examined.id).examination
    assert made.sha256 == hashlib.sha256(made.data).hexdigest()
    assert examined.sha256[:8] in made.name


def test_mask_is_exact_and_says_where_it_comes_from(service, examined):
    with Image.open(io.BytesIO(exports.export(service, examined.id, "mask").data)) as image:
        mask = np.asarray(image) > 0
        assert image.text["Source-SHA256"] == examined.sha256
        assert "fakeexplain" in json.loads(image.text["Versions"])
    assert np.array_equal(mask, decode_mask(service.picture(examined.id).examination.mask))


def test_the_zip_checks(service, remarked):
    with zipfile.ZipFile(io.BytesIO(exports.export(service, remarked.id, "zip").data)) as archive:
        sums = dict(reversed(line.split("  ", 1)) for line in archive.read("SHA256SUMS.txt").decode().splitlines())
        assert len(sums) == 7
        for name, digest in sums.items():
            assert hashlib.sha256(archive.read(name)).hexdigest() == digest
            assert "/" not in name
            assert ".." not in name
        assert remarked.sha256 in archive.read("PICTURE.txt").decode()


def test_conversation_holds_remarks(service, remarked):
    document = json.loads(exports.export(service, remarked.id, "conversation").data)
    assert document["remarks"][0]["text"].startswith("<script>")
    assert document["picture"]["sha256"] == remarked.sha256


def test_unknown_kind(service, examined):
    with pytest.raises(AppError, match="wanted one of html"):
        exports.export(service, examined.id, "../../etc/passwd")
