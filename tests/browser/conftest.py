"""A server of the app in a thread and Debian's chromium in front of it; nothing may leave loopback, and the
browser's console must hold no error. Where there is no chromium these tests are skipped, visibly.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.security import Gatekeeper
from app.service import Service

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = Path(os.environ.get("FAKEEXPLAIN_CHROMIUM", "/usr/bin/chromium"))
PATIENCE = 90_000  # milliseconds; a machine that does something else as well is slow


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Service]]:
    """(address, service) of a running app."""
    from app.running import server_of

    service = Service(cases=tmp_path_factory.mktemp("cases"), folder=tmp_path_factory.mktemp("private"))
    server = server_of(service, Gatekeeper(), page=True)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    deadline = time.monotonic() + 120
    while not server.started:
        assert thread.is_alive(), "the server ended while it started"
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.05)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}", service
    server.should_exit = True
    thread.join(30)
    service.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[playwright.Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"no chromium at {CHROMIUM}; install it or set FAKEEXPLAIN_CHROMIUM to its path")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


class Window:
    """A browser window on the app that keeps a list of all that must not be: requests elsewhere, console errors."""

    def __init__(self, browser: playwright.Browser, address: str, **options: object) -> None:
        self.address = address
        self.elsewhere: list[str] = []
        self.errors: list[str] = []
        self.context = browser.new_context(accept_downloads=True, reduced_motion="reduce", **options)  # type: ignore[arg-type]
        self.context.set_default_timeout(PATIENCE)
        self.context.route("**/*", self._watch)
        self.page = self.context.new_page()
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.goto(address)
        self.page.wait_for_selector(".fx-top")
        self.page.wait_for_selector("#fx-viewer .fx-canvas", state="attached")

    def _watch(self, route: playwright.Route) -> None:
        if route.request.url.startswith(self.address):
            route.continue_()
        else:
            self.elsewhere.append(route.request.url)
            route.abort()

    def examine(self, path: Path) -> None:
        """Drops a picture into the first tab and waits until it is shown."""
        before = self.page.locator(".fx-examined").get_attribute("data-picture") if self.examined else None
        self.page.set_input_files(".fx-first input[type=file]", str(path))
        self.page.wait_for_function(
            "before => { const e = document.querySelector('.fx-examined'); return e && e.dataset.picture !== before; }",
            arg=before,
        )
        self.page.wait_for_selector("#fx-viewer .fx-viewer[data-empty=false]")

    @property
    def examined(self) -> bool:
        return self.page.locator(".fx-examined").count() > 0

    def stage(self) -> dict[str, float]:
        """Where the viewer's canvas lies on the screen; it is brought there."""
        canvas = self.page.locator("#fx-viewer .fx-canvas")
        canvas.evaluate("e => e.scrollIntoView({block: 'center', behavior: 'instant'})")
        box = canvas.bounding_box()
        assert box is not None
        return dict(box)

    def drag_box(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Draws a box with the mouse; fractions of the stage."""
        self.page.locator("#fx-viewer [data-tool-button=box]").click()
        stage = self.stage()
        at = [(stage["x"] + x * stage["width"], stage["y"] + y * stage["height"]) for x, y in ((x0, y0), (x1, y1))]
        self.page.mouse.move(*at[0])
        self.page.mouse.down()
        self.page.mouse.move((at[0][0] + at[1][0]) / 2, (at[0][1] + at[1][1]) / 2)
        self.page.mouse.move(*at[1])
        self.page.mouse.up()

    def close(self) -> None:
        self.context.close()
        assert self.elsewhere == [], "requests left loopback"
        assert self.errors == [], "errors in the browser's console"


@pytest.fixture
def window(chromium: playwright.Browser, served: tuple[str, Service]) -> Iterator[Window]:
    opened = Window(chromium, served[0], viewport={"width": 1280, "height": 900})
    yield opened
    opened.close()


@pytest.fixture
def phone(chromium: playwright.Browser, served: tuple[str, Service]) -> Iterator[Window]:
    opened = Window(chromium, served[0], viewport={"width": 390, "height": 844}, color_scheme="dark", has_touch=True)
    yield opened
    opened.close()
