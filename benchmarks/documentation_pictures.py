"""The pictures of the documentation, taken from the running product: the report, and the app in a real browser.

    python benchmarks/documentation_pictures.py                  # writes docs/report.png and docs/app_*.png
    python benchmarks/documentation_pictures.py --out elsewhere

Needs chromium (Debian's, or FAKEEXPLAIN_CHROMIUM) and playwright. Everything shown is made from the bundled examples.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from app_process import ROOT, ServerProcess
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(ROOT))  # for the browser window of the tests, and their pictures

from fakeexplain.examiner import Examiner, examination_map
from fakeexplain.report.render import render_html
from tests.browser.conftest import CHROMIUM, Window
from tests.pictures import encode, photograph

SPLICE = ROOT / "examples" / "splice.jpg"
COLOURS = 128


def save(page: Page, path: Path, *, full_page: bool = True) -> None:
    """A screenshot with few colours, which is a third of the size."""
    page.wait_for_timeout(600)  # outlines and pictures fade in
    page.screenshot(path=path, full_page=full_page)
    with Image.open(path) as image:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} kB")


def investigate(browser: Browser, address: str, out: Path) -> None:
    window = Window(browser, address, viewport={"width": 1280, "height": 900})
    page = window.page
    window.examine(SPLICE)
    window.drag_box(0.3, 0.42, 0.47, 0.72)
    page.wait_for_selector(".fx-about")
    ask(page, "Was the handle changed?")
    page.evaluate("scrollTo(0, 0)")
    save(page, out / "app_investigate.png")
    window.close()


def ask(page: Page, question: str) -> None:
    answered = page.locator(".fx-thread .fx-by").count()
    page.get_by_label("Your question").fill(question)
    page.locator("#fx-ask").click()
    page.wait_for_function("n => document.querySelectorAll('.fx-thread .fx-by').length > n", arg=answered)


def phone(browser: Browser, address: str, out: Path) -> None:
    size = {"width": 390, "height": 844}
    window = Window(browser, address, viewport=size, color_scheme="dark", has_touch=True)
    window.examine(SPLICE)
    window.page.evaluate("scrollTo(0, 0)")
    save(window.page, out / "app_phone.png", full_page=False)
    window.close()


def compare(browser: Browser, address: str, out: Path, folder: Path) -> None:
    original = photograph("coffee")
    questioned = original.copy()
    questioned[200:260, 300:380] = original[20:80, 20:100]
    window = Window(browser, address, viewport={"width": 1100, "height": 900})
    page = window.page
    page.get_by_role("tab", name="Compare").click()
    for name, rgb in (("original", original), ("questioned", questioned)):
        (folder / f"{name}.png").write_bytes(encode(rgb))
        page.set_input_files(f".fx-{name} input[type=file]", str(folder / f"{name}.png"))
        page.wait_for_selector(f".fx-{name} .file-preview")
    page.locator("#fx-compare-start").click()
    page.wait_for_selector("#fx-comparison .fx-sheet.changed")
    page.wait_for_selector("#fx-pair-viewer .fx-viewer[data-empty=false]")
    page.evaluate("scrollTo(0, 0)")
    save(page, out / "app_compare.png")
    window.close()


def batch(browser: Browser, address: str, out: Path, folder: Path) -> None:
    files = [ROOT / "examples" / f"{name}.jpg" for name in ("authentic", "copy_move", "splice")]
    for name in ("chelsea", "astronaut"):
        files.append(folder / f"{name}.jpg")
        files[-1].write_bytes(encode(photograph(name), "JPEG", quality=92))
    window = Window(browser, address, viewport={"width": 1280, "height": 980})
    page = window.page
    page.get_by_role("tab", name="Batch").click()
    page.set_input_files(".fx-many input[type=file]", [str(f) for f in files])
    page.wait_for_selector(f"#fx-batch-table tbody tr:nth-child({len(files)})")
    page.locator("#fx-batch-start").click()
    page.wait_for_function("document.querySelector('#fx-batch-message').textContent.includes('Finished')")
    page.evaluate("scrollTo(0, 0)")
    save(page, out / "app_batch.png", full_page=False)
    window.close()


def report(browser: Browser, out: Path, folder: Path) -> None:
    examiner = Examiner()
    source = examiner.load(SPLICE.read_bytes(), name=SPLICE.name)
    examination = examiner.examine(source)
    page_of_it = render_html(examination, source, examination_map(examination))
    (folder / "report.html").write_text(page_of_it, encoding="utf-8")
    page = browser.new_page(viewport={"width": 1200, "height": 1540}, device_scale_factor=0.8)
    page.goto((folder / "report.html").as_uri())
    save(page, out / "report.png", full_page=False)
    page.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="Folder of the pictures.")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    server = ServerProcess()
    server.await_page()
    try:
        with tempfile.TemporaryDirectory() as made, sync_playwright() as play:
            folder = Path(made)
            browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
            report(browser, out, folder)
            investigate(browser, server.address, out)
            phone(browser, server.address, out)
            compare(browser, server.address, out, folder)
            batch(browser, server.address, out, folder)
            browser.close()
    finally:
        server.end()


if __name__ == "__main__":
    main()
