"""The first tab in a real browser: what arrives, what is shown, what lights up, what can be asked and taken away."""

from __future__ import annotations

import hashlib
import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pictures import encode, photograph

ROOT = Path(__file__).parents[2]
SPLICE = ROOT / "examples" / "splice.jpg"


def canvas_pixels(window) -> np.ndarray:
    """uint8 HxWx4: what the viewer has painted."""
    uri = window.page.evaluate(
        "() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => "
        "r(document.querySelector('#fx-viewer canvas').toDataURL()))))"
    )
    import base64
    import io

    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))


def test_from_a_picture_to_a_report(window, tmp_path):
    page = window.page
    window.examine(SPLICE)
    assert page.locator(".fx-answer").inner_text() == "Evidence of local alteration"
    assert "of 100 unaltered photographs" in page.locator(".fx-promise").inner_text()
    assert page.locator("#fx-sha256").text_content() == hashlib.sha256(SPLICE.read_bytes()).hexdigest()

    # a citation lights up its place and opens its finding
    before = canvas_pixels(window)
    page.locator(".fx-verdict a.fx-cite", has_text="E1").first.click()
    page.wait_for_selector("#fx-viewer .fx-viewer[data-selected=E1]")
    assert page.locator(".fx-finding[data-finding=E1] .fx-body").is_visible()
    assert "lower right" in page.locator("#fx-viewer .fx-caption").inner_text()
    assert np.abs(canvas_pixels(window).astype(int) - before).max() > 30
    assert "Other causes" in page.locator(".fx-finding[data-finding=E1] .fx-body").inner_text()

    # ask, and get sentences with citations
    page.get_by_label("Your question").fill("Where was the picture altered?")
    page.get_by_label("Your question").press("Enter")
    page.wait_for_selector(".fx-thread .fx-by")
    assert page.locator(".fx-thread .fx-a a.fx-cite").count() >= 1

    # draw a box, ask about it: a measurement on request, which changes no verdict
    window.drag_box(0.3, 0.3, 0.5, 0.55)
    page.wait_for_selector(".fx-about")
    region = page.locator(".fx-about a.fx-cite").inner_text()
    page.get_by_label("Your question").fill(f"measure noise on {region}")
    page.locator("#fx-ask").click()
    page.wait_for_selector(".fx-thread li:nth-child(4) .fx-by")
    assert f"about {region}" in page.locator(".fx-thread li:nth-child(3)").inner_text()
    assert page.locator(".fx-answer").inner_text() == "Evidence of local alteration"

    # a remark and a status go into the report
    if page.locator(".fx-finding[data-finding=E1][data-on=true]").count() == 0:
        page.locator(".fx-finding[data-finding=E1] .fx-pick").click()
    form = page.locator(".fx-judge[data-note=E1]")
    form.locator("select").select_option("rejected")
    form.locator("textarea").fill("stamped <b>in good faith</b>")
    form.locator("[data-save-note]").click()
    page.wait_for_selector(".fx-finding[data-finding=E1] .fx-tag")
    with page.expect_download() as download:
        page.locator("[data-export=html]").click()
    report = Path(download.value.path()).read_text("utf-8")
    assert "stamped &lt;b&gt;in good faith&lt;/b&gt;" in report
    page.wait_for_function("document.querySelector('.fx-made').textContent.includes('sha256')")
    assert hashlib.sha256(report.encode()).hexdigest() in page.locator("#fx-exports .fx-made").inner_text()
    with page.expect_download() as download:
        page.locator("[data-export=json]").click()
    taken = json.loads(Path(download.value.path()).read_text("utf-8"))
    assert taken["source"]["sha256"] == hashlib.sha256(SPLICE.read_bytes()).hexdigest()
    with page.expect_download() as download:
        page.locator("[data-export=mask]").click()
    mask = np.array(Image.open(download.value.path()))
    assert mask.shape == (taken["source"]["height"], taken["source"]["width"])
    assert set(np.unique(mask)) == {0, 255}


def test_a_region_without_a_finding_is_tested_by_itself(window, tmp_path):
    page = window.page
    window.examine(SPLICE)
    window.drag_box(0.1, 0.1, 0.3, 0.35)
    page.wait_for_selector(".fx-about")
    page.get_by_label("Your question").fill("Was this part edited?")
    page.locator("#fx-ask").click()
    page.wait_for_selector(".fx-thread .fx-by")
    assert "Tested by itself" in page.locator(".fx-thread").inner_text()
    assert "A region tested by itself" in page.locator("#fx-findings").inner_text()
    assert page.locator(".fx-answer").inner_text() == "Evidence of local alteration"
    page.screenshot(path=tmp_path / "region.png", full_page=True)


def test_the_conversation_and_remarks_are_kept_with_the_case(window, served):
    page = window.page
    window.examine(SPLICE)
    page.locator(".fx-suggest button").first.click()
    page.wait_for_selector(".fx-thread .fx-by")
    page.get_by_label("Case (a new name opens a new one)").fill("bridge")
    page.get_by_label("Case (a new name opens a new one)").press("Enter")
    page.get_by_label("Your name, for the log").fill("A. Examiner")
    page.locator("#fx-save-case").click()
    page.wait_for_selector("#fx-saved .fx-status.done")
    log = (served[1].cases / "bridge" / "log.jsonl").read_text()
    assert "Question 1:" in log
    assert "A. Examiner" in log


def test_brushed_region_and_clicks_that_refine_it(window):
    page = window.page
    window.examine(SPLICE)
    page.locator("#fx-viewer [data-tool-button=brush]").click()
    stage = window.stage()
    page.mouse.move(stage["x"] + 0.4 * stage["width"], stage["y"] + 0.4 * stage["height"])
    page.mouse.down()
    page.mouse.move(stage["x"] + 0.55 * stage["width"], stage["y"] + 0.45 * stage["height"], steps=5)
    page.mouse.up()
    page.locator("#fx-viewer [data-do=done]").click()
    page.wait_for_selector(".fx-about a.fx-cite")
    brushed = page.locator(".fx-about a.fx-cite").inner_text()
    page.locator("#fx-viewer [data-tool-button=refine]").click()
    stage = window.stage()
    page.mouse.click(stage["x"] + 0.5 * stage["width"], stage["y"] + 0.5 * stage["height"])
    page.wait_for_function("old => document.querySelector('.fx-about a.fx-cite').textContent !== old", arg=brushed)


def test_box_by_keyboard_alone(window):
    page = window.page
    window.examine(SPLICE)
    page.locator("#fx-viewer .fx-canvas").focus()
    for key in ("b", "Enter", "ArrowRight", "Shift+ArrowDown", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector(".fx-about a.fx-cite")


def test_zoom_slider_and_map(window):
    page = window.page
    window.examine(SPLICE)
    fitted = page.locator("#fx-viewer .fx-zoom-figure").inner_text()
    page.locator("#fx-viewer [data-do=native]").click()
    assert page.locator("#fx-viewer .fx-zoom-figure").inner_text() == "100 %"
    page.locator("#fx-viewer [data-do=fit]").click()
    assert page.locator("#fx-viewer .fx-zoom-figure").inner_text() == fitted
    marked = canvas_pixels(window)
    page.locator("#fx-viewer [data-mode-button=plain]").click()
    plain = canvas_pixels(window)
    page.locator("#fx-viewer [data-mode-button=slider]").click()
    page.locator("#fx-viewer .fx-slider").fill("0")
    assert np.array_equal(canvas_pixels(window), marked)
    page.locator("#fx-viewer .fx-slider").fill("1000")
    assert np.array_equal(canvas_pixels(window), plain)
    assert not np.array_equal(plain, marked)
    page.locator("#fx-viewer [data-mode-button=map]").click()
    low = canvas_pixels(window)
    page.locator("#fx-viewer [data-set=threshold]").fill("60")
    assert not np.array_equal(canvas_pixels(window), low)


def files_to_upload(folder: Path) -> dict[str, bytes]:
    """One file of each kind that a browser or a page could be tempted to convert."""
    rgb = photograph("coffee")[:200, :260]
    image = Image.fromarray(rgb)
    import io

    def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
        buffer = io.BytesIO()
        picture.save(buffer, kind, **options)
        return buffer.getvalue()

    return {
        "photo.jpg": encode(rgb, "JPEG", quality=83),
        "grey.png": saved(image.convert("L"), "PNG"),
        "palette.png": saved(image.quantize(64), "PNG"),
        "cmyk.jpg": saved(image.convert("CMYK"), "JPEG", quality=90),
    }


@pytest.mark.parametrize("name", ["photo.jpg", "grey.png", "palette.png", "cmyk.jpg", "photo.heic"])
def test_the_bytes_arrive_unaltered(window, served, tmp_path, monkeypatch, name):
    if name == "photo.heic":
        monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
        data = importlib.import_module("fuzz_seeds").seeds()["heic"]
    else:
        data = files_to_upload(tmp_path)[name]
    (tmp_path / name).write_bytes(data)
    window.examine(tmp_path / name)
    assert window.page.locator("#fx-sha256").text_content() == hashlib.sha256(data).hexdigest()
    picture = served[1].picture(window.page.locator(".fx-examined").get_attribute("data-picture"))
    assert picture.path.read_bytes() == data


def test_what_cannot_be_read_is_said_and_the_page_goes_on(window, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no picture")
    window.page.set_input_files(".fx-first input[type=file]", str(tmp_path / "broken.jpg"))
    window.page.wait_for_selector("#fx-message .fx-status.error")
    assert "broken.jpg" in window.page.locator("#fx-message").inner_text()
    window.examine(SPLICE)
    assert window.page.locator("#fx-message .fx-status").count() == 0


def test_strings_out_of_files_and_questions_are_only_text(window, tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "<img src=x onerror=window.hit=1>"  # ImageDescription
    exif[0x0131] = "<script>window.hit=1</script> [E1] ${window.hit=1} {{7*7}}"  # Software
    data = encode(photograph("astronaut")[:240, :240], "JPEG", quality=90, exif=exif.tobytes())
    path = tmp_path / "a<img src=x onerror=alert(1)>'\"&.jpg"
    path.write_bytes(data)
    window.examine(path)
    page = window.page
    page.locator(".fx-quiet-list summary").first.click()
    page.get_by_label("Your question").fill("<img src=x onerror=window.hit=1> ${window.hit=1} `x` {{7*7}}")
    page.locator("#fx-ask").click()
    page.wait_for_selector(".fx-thread .fx-by")
    assert "<img src=x onerror=window.hit=1> ${window.hit=1} `x` {{7*7}}" in page.locator(".fx-q").inner_text()
    assert page.evaluate("window.hit") is None
    assert page.locator(".fx-part img").count() == 0


def test_on_a_phone_nothing_is_wider_than_the_screen(phone):
    phone.examine(SPLICE)
    wide = phone.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390
    phone.page.locator(".fx-verdict a.fx-cite").first.click()
    phone.page.wait_for_selector("#fx-viewer .fx-viewer[data-selected]:not([data-selected=''])")
    assert phone.page.evaluate("document.body.classList.contains('dark')")
