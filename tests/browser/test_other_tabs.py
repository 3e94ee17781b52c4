"""Comparing and batches in a real browser."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from tests.pictures import encode, photograph

SPLICE = Path(__file__).parents[2] / "examples" / "splice.jpg"


def test_compare_with_the_original(window, tmp_path):
    original = photograph("coffee")
    questioned = original.copy()
    questioned[200:260, 300:380] = original[20:80, 20:100]
    (tmp_path / "original.png").write_bytes(encode(original))
    (tmp_path / "questioned.png").write_bytes(encode(questioned))
    page = window.page
    page.get_by_role("tab", name="Compare").click()
    page.set_input_files(".fx-original input[type=file]", str(tmp_path / "original.png"))
    page.set_input_files(".fx-questioned input[type=file]", str(tmp_path / "questioned.png"))
    page.wait_for_selector(".fx-original .file-preview")
    page.wait_for_selector(".fx-questioned .file-preview")
    page.locator("#fx-compare-start").click()
    page.wait_for_selector("#fx-comparison .fx-sheet.changed")
    page.wait_for_selector("#fx-pair-viewer .fx-viewer[data-empty=false]")
    assert page.locator("#fx-comparison .fx-two .fx-sheet").count() == 2
    told = page.locator(".fx-compare-message, #fx-compare-message").first.inner_text()
    assert told.startswith("Changed: questioned.png, laid on original.png."), told
    with page.expect_download() as download:
        page.locator("#fx-comparison [data-file='0']").click()
    assert b"<!DOCTYPE html>" in Path(download.value.path()).read_bytes()[:100]


def test_batch_table_sorted_by_verdict_as_csv_and_resumed(window, tmp_path):
    names = ["plain.png", "altered.jpg", "broken.png"]
    (tmp_path / "plain.png").write_bytes(encode(photograph("chelsea")[:200, :240]))
    (tmp_path / "altered.jpg").write_bytes(SPLICE.read_bytes())
    (tmp_path / "broken.png").write_bytes(b"no picture")
    page = window.page
    page.get_by_role("tab", name="Batch").click()
    page.set_input_files(".fx-many input[type=file]", [str(tmp_path / n) for n in names])
    page.wait_for_selector("#fx-batch-table tbody tr:nth-child(3)")
    page.locator("#fx-batch-start").click()
    page.wait_for_function("document.querySelector('#fx-batch-message').textContent.includes('Finished')")
    order = page.locator("#fx-batch-table tbody th").all_inner_texts()
    assert order[0] == "altered.jpg"
    assert order[-1] == "broken.png"
    assert page.locator("#fx-batch-table tbody img").count() == 2
    with page.expect_download() as download:
        page.locator("#fx-batch-table [data-file='0']").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8"))))
    assert {r["picture"]: r["verdict"] for r in rows}["altered.jpg"] == "manipulated"
    page.locator("#fx-batch-start").click()
    page.wait_for_selector("#fx-batch-table .fx-tag")  # what was examined before is kept
    page.locator("#fx-batch-table [data-sort]").first.click()
    assert page.locator("#fx-batch-table tbody th").all_inner_texts() == sorted(names)
