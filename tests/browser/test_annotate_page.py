"""The annotation page in a browser: ten drafts by keys alone, brush, blind mode, two annotators, a server that is away.

Nothing may leave loopback, and the browser's console must hold no error. Without chromium these tests are skipped.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest
import uvicorn
from fastapi import FastAPI

from app.annotate_page import build_tab
from app.theme import page_options
from data_tools.review_agreement import agreement
from data_tools.review_import import ImportPlan
from data_tools.review_rows import done_reviews, inline_of, state_of
from data_tools.review_statistics import progress
from data_tools.review_store import ReviewStore
from tests.browser.conftest import PATIENCE
from tests.unit.data_tools.review_cases import fresh_store, review_all

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


class Desk:
    """A server of the page over one database, and windows on it."""

    def __init__(self, browser: playwright.Browser, database: Path) -> None:
        self.browser, self.database = browser, database
        with gr.Blocks(analytics_enabled=False) as page:
            self.bench = build_tab(None, database)
        app = gr.mount_gradio_app(FastAPI(), page, path="/", **page_options())
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self.thread = threading.Thread(target=self.server.run, args=([listening],), daemon=True)
        self.thread.start()
        deadline = time.monotonic() + 120
        while not self.server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.05)
        self.contexts: list[playwright.BrowserContext] = []
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        self.answers: list[str] = []

    def window(self, **options: object) -> playwright.Page:
        context = self.browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        context.set_default_timeout(PATIENCE)
        self.contexts.append(context)
        page = context.new_page()
        page.on(
            "request",
            lambda r: None if r.url.startswith((self.address, "data:", "blob:")) else self.elsewhere.append(r.url),
        )
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: self.errors.append(str(e)))
        page.on("response", self._keep)
        page.goto(self.address)
        page.wait_for_selector(".an-who")
        return page

    def _keep(self, response: playwright.Response) -> None:
        if "component_server" in response.url:
            self.answers.append(response.text())

    def begin(self, name: str, **options: object) -> playwright.Page:
        """A window in which somebody has typed a name, by keyboard alone."""
        page = self.window(**options)
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == "an-name":
                break
        page.keyboard.type(name)
        page.keyboard.press("Enter")
        page.wait_for_selector(".an[data-empty=false] .an-verdicts button")
        page.wait_for_function("!document.querySelector('.an-wait').textContent")
        saved(page)
        return page

    def close(self) -> None:
        for context in self.contexts:
            context.close()
        self.server.should_exit = True
        self.thread.join(30)
        self.bench.close()


@pytest.fixture
def desk_of(chromium: playwright.Browser, tmp_path: Path) -> Iterator[object]:
    made: list[Desk] = []

    def make(count: int, plan: ImportPlan | None = None) -> Desk:
        fresh_store(tmp_path, count, plan).close()
        made.append(Desk(chromium, tmp_path / "reviews.sqlite"))
        return made[-1]

    yield make
    for desk in made:
        desk.close()
        assert desk.elsewhere == [], "requests left loopback"
        assert desk.errors == [], "errors in the browser's console"


def keys(page: playwright.Page, text: str) -> None:
    """Presses keys one after the other, each when the one before has been saved."""
    for key in text.split():
        page.keyboard.press(key)
        saved(page)


def saved(page: playwright.Page) -> None:
    page.wait_for_function("!['wait'].includes(document.querySelector('.an-saved').dataset.state)")


def picture(page: playwright.Page, title: str) -> None:
    page.wait_for_function("title => document.querySelector('.an-title').textContent === title", arg=title)
    page.wait_for_function("!document.querySelector('.an-wait').textContent")
    saved(page)


def done(page: playwright.Page, count: int) -> None:
    page.wait_for_function("n => document.querySelector('.an-count').textContent.startsWith(n + ' of')", arg=count)


@pytest.mark.slow
def test_ten_drafts_by_keyboard_alone_with_undo(desk_of):
    desk = desk_of(10)
    page = desk.begin("Anna")
    for number in range(1, 11):
        picture(page, f"Picture {number}")
        keys(page, "1 2" if number % 3 == 0 else "1")  # changes the verdict on every third picture
        keys(page, "a")
        page.keyboard.press("e")
        page.wait_for_selector(".an-claim textarea")
        page.keyboard.type(" And more.")
        page.keyboard.press("Control+Enter")
        saved(page)
        page.keyboard.press("r")
        page.wait_for_selector(".an-dialog[open]")
        keys(page, "4 u")
        if number == 4:
            keys(page, "z z")  # the doubt and the rejection
            keys(page, "a a")
        if number == 5:
            keys(page, "c m")
            keys(page, "ArrowRight ArrowRight Space z m Shift+ArrowLeft Space Escape")
        keys(page, "f")
        done(page, number)
        if number == 7:
            page.keyboard.press("p")
            picture(page, "Picture 7")
            keys(page, "z 3 f")  # back, undo finishing, another verdict, finish again
            done(page, 7)
    page.wait_for_function("document.querySelector('.an-problem').textContent.startsWith('All done')")
    with ReviewStore(desk.database) as store:
        found = progress(store)
        assert found.outcomes == {"reviewed": 10}
        assert found.decisions == {"accept": 12, "edit": 10, "reject": 9, "unsure": 9}
        assert found.reject_reasons == {"unclear": 9}
        assert found.verdicts == {"manipulated": 6, "no_evidence": 3, "inconclusive": 1}
        assert found.undone == 4
        assert found.people[0].name == "Anna"
        assert found.people[0].seconds > 0
        with store.database.read() as connection:
            state = state_of(connection, done_reviews(connection, 5)[0])
            mask = inline_of(connection, state.mask_id).mask()
            assert 800 < mask.sum() < 1100  # one disc of 40 pixels, cut by the left edge
            assert state_of(connection, done_reviews(connection, 4)[0]).decisions[3].decision == "accept"
            edit = state_of(connection, done_reviews(connection, 1)[0]).decisions[2]
            assert edit.text.endswith("[E1]. And more.")


@pytest.mark.slow
def test_keys_pressed_on_the_way_to_the_next_picture_decide_nothing(desk_of):
    desk = desk_of(2)
    page = desk.begin("Anna")
    held: list[playwright.Route] = []
    sent: list[str] = []
    holding = False

    def hold(route: playwright.Route) -> None:
        if not holding:
            route.continue_()
            return
        sent.append(route.request.post_data or "")
        held.append(route)

    # In place well before it matters: the first request after `route` can slip past it on a busy machine.
    page.route(re.compile("component_server"), hold)
    keys(page, "1 a a a a")

    def press_while_held(count: int) -> None:
        """Keys arrive while request number `count` is under way, however slow the machine is."""
        deadline = time.monotonic() + 60
        while len(held) < count:
            assert time.monotonic() < deadline, f"request {count} did not come after {sent}"
            page.wait_for_timeout(20)
        for key in "a2auz":
            page.keyboard.press(key)
        held[count - 1].continue_()

    holding = True
    page.keyboard.press("f")
    for count in (1, 2, 3):  # finishing, the next review, its picture
        press_while_held(count)
    picture(page, "Picture 2")
    assert [re.search(r'"do": ?"(\w+)"', body).group(1) for body in sent] == ["act", "next", "picture"]
    with ReviewStore(desk.database) as store:
        found = progress(store)
        assert found.outcomes["reviewed"] == 1
        assert found.decisions == {"accept": 4}
        assert found.verdicts == {"manipulated": 1}
        assert found.undone == 0


@pytest.mark.slow
def test_a_key_right_after_escape_is_not_lost(desk_of):
    desk = desk_of(1)
    page = desk.begin("Anna")
    page.keyboard.press("?")
    page.wait_for_selector(".an-dialog[open]")
    # Both keys within one task, as from a machine that is too busy to do anything between them.
    page.evaluate(
        """() => {
            const press = (target, key) => target.dispatchEvent(
                new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
            press(document.activeElement, "Escape");
            press(document.body, "1");
        }"""
    )
    saved(page)
    with ReviewStore(desk.database) as store:
        assert store.next_review(store.annotator("Anna")).state.verdict == "manipulated"


# Presses keys within one task, each on what has the focus then: a machine too busy to draw anything between them.
AT_ONCE = """(keys) => keys.forEach((key) => document.activeElement.dispatchEvent(
    new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true })))"""


def disputed(desk: Desk) -> None:
    """Two annotators decide picture 1 and differ in their verdicts."""
    for name, verdict in (("Anna", "manipulated"), ("Ben", "no_evidence")):
        with ReviewStore(desk.database) as store:
            who = store.annotator(name)
            review_all(store, store.next_review(who), who, verdict=verdict)


def idle(desk: Desk, name: str) -> playwright.Page:
    """A window of somebody for whom only adjudication waits."""
    page = desk.window()
    page.fill("#an-name", name)
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('.an-problem').textContent.includes('Adjudicate')")
    return page


@pytest.mark.slow
def test_escape_then_w_without_a_picture_is_not_lost(desk_of):
    desk = desk_of(1, ImportPlan(annotators=2))
    disputed(desk)
    page = idle(desk, "Cleo")
    page.keyboard.press("g")
    page.wait_for_selector(".an-dialog table")
    page.evaluate(AT_ONCE, ["Escape", "w"])
    picture(page, "Adjudication, picture 1")


@pytest.mark.slow
def test_escape_and_w_while_the_figures_are_fetched(desk_of):
    desk = desk_of(1, ImportPlan(annotators=2))
    disputed(desk)
    page = idle(desk, "Cleo")
    held: list[playwright.Route] = []

    def hold(route: playwright.Route) -> None:
        if re.search(r'"do": ?"figures"', route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    page.route(re.compile("component_server"), hold)
    page.keyboard.press("l")  # the first request after `route` can slip past it
    page.wait_for_selector(".an-dialog table")
    page.keyboard.press("Escape")
    for key in ("g", "Escape", "w"):
        page.keyboard.press(key)
    picture(page, "Adjudication, picture 1")
    assert len(held) == 1
    with page.expect_response(lambda r: "component_server" in r.url) as answer:
        held[0].continue_()
    answer.value.finished()
    page.wait_for_timeout(300)
    assert page.locator(".an-dialog[open]").count() == 0, "figures nobody waits for any more lie over the picture"


@pytest.mark.slow
def test_a_note_begun_right_after_escape_keeps_its_letters(desk_of):
    desk = desk_of(1)
    page = desk.begin("Anna")
    page.keyboard.press("?")
    page.wait_for_selector(".an-dialog[open]")
    page.evaluate(AT_ONCE, ["Escape", "n"])
    page.wait_for_timeout(300)  # the dialog's own close event has come
    page.keyboard.type("1 a")
    assert page.locator(".an-notetext").input_value() == "1 a"
    saved(page)
    with ReviewStore(desk.database) as store:
        assert store.next_review(store.annotator("Anna")).state.verdict is None


@pytest.mark.slow
def test_brush_eraser_zoom_and_reload(desk_of):
    desk = desk_of(1)
    page = desk.begin("Anna")
    keys(page, "c b")
    stage = page.locator(".an-canvas").bounding_box()
    centre = (stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2)
    page.mouse.move(centre[0] - 60, centre[1])
    page.mouse.down()
    page.mouse.move(centre[0] + 60, centre[1], steps=6)
    page.mouse.up()
    saved(page)
    keys(page, "x [ [ [")
    page.mouse.move(centre[0], centre[1])
    page.mouse.down()
    page.mouse.up()
    saved(page)
    words = page.locator(".an-maskwords").inner_text()
    page.keyboard.press("+")
    assert page.locator(".an-zoom").inner_text() != "100 %"
    page.reload()
    page.wait_for_selector(".an-who")
    assert page.locator("#an-name").input_value() == "Anna"
    page.locator(".an-who button").click()
    page.wait_for_selector(".an[data-empty=false] .an-verdicts button")
    assert page.locator(".an-maskwords").inner_text() == words
    with ReviewStore(desk.database) as store:
        view = store.next_review(store.annotator("Anna"))
        mask = view.mask.mask()
        assert not mask[48, 48]  # erased in the middle of the stroke
        assert mask[48, 48 - 14]
        assert mask[48, 48 + 14]


@pytest.mark.slow
def test_blind_mode_tells_nothing_before_the_opinion(desk_of):
    desk = desk_of(2, ImportPlan(blind=True))
    page = desk.begin("Anna")
    keys(page, "l")
    page.wait_for_selector(".an-dialog table")
    page.keyboard.press("Escape")
    keys(page, "a t f")  # nothing to accept, no mask to take, no verdict yet
    assert "give your own verdict" in page.locator(".an-problem").inner_text()
    told = " ".join(desk.answers) + page.content()
    for secret in ("points to a local", "grey levels", "picture0", "log10_nfa"):
        assert secret not in told
    assert re.search(r'"machine": ?null', told)
    assert not re.search(r'"machine": ?\{', told)
    assert page.locator(".an-claim").count() == 0
    keys(page, "2 f")
    page.wait_for_selector(".an-claim")
    assert "The program says: evidence of local alteration" in page.locator(".an-machine").inner_text()
    assert "you said: no evidence found" in page.locator(".an-machine").inner_text()
    keys(page, "z")  # refused: what was seen was seen
    assert "nothing to undo" in page.locator(".an-problem").inner_text()


@pytest.mark.slow
def test_two_annotators_agreement_and_adjudication(desk_of):
    desk = desk_of(2, ImportPlan(annotators=2))
    anna, ben = desk.begin("Anna"), desk.begin("Ben")
    keys(anna, "1 a")
    keys(ben, "2 a")
    keys(anna, "a a a f")
    keys(ben, "a u a f")
    picture(anna, "Picture 2")
    picture(ben, "Picture 2")
    for page in (anna, ben):
        keys(page, "1 a a a a f")
        page.wait_for_function("document.querySelector('.an-problem').textContent.startsWith('All done')")
    cleo = desk.window()
    cleo.fill("#an-name", "Cleo")
    cleo.keyboard.press("Enter")
    cleo.wait_for_function("document.querySelector('.an-problem').textContent.includes('Adjudicate')")
    cleo.keyboard.press("g")
    cleo.wait_for_selector(".an-dialog table")
    figures = cleo.locator(".an-dialog").inner_text()
    cleo.keyboard.press("Escape")
    cleo.keyboard.press("w")
    picture(cleo, "Adjudication, picture 1")
    text = cleo.locator(".an-right").inner_text()
    assert "A: evidence of local alteration" in text
    assert "B: no evidence found" in text
    assert "B: unsure" in text
    assert "Anna" not in text
    keys(cleo, "2 a f")
    cleo.wait_for_function("document.querySelector('.an-problem').textContent.startsWith('No picture waits')")
    with ReviewStore(desk.database) as store:
        found = agreement(store)
        assert progress(store).outcomes == {"adjudicated": 1, "agreed": 1}
    assert f"{found.decisions.alpha:.3f}" in figures
    assert f"{found.verdicts.observed:.3f}" in figures


@pytest.mark.slow
def test_a_server_that_is_away_loses_nothing(desk_of):
    desk = desk_of(1)
    page = desk.begin("Anna")
    page.context.set_offline(True)
    page.keyboard.press("1")
    page.keyboard.press("a")
    page.wait_for_function("document.querySelector('.an-saved').textContent.includes('trying again')")
    page.context.set_offline(False)
    saved(page)
    with ReviewStore(desk.database) as store:
        view = store.next_review(store.annotator("Anna"))
        assert (view.state.verdict, sorted(view.state.decisions)) == ("manipulated", [1])
        assert progress(store).events == 3
    desk.errors[:] = [e for e in desk.errors if "ERR_INTERNET_DISCONNECTED" not in e]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_width_and_hostile_words(desk_of, scheme):
    desk = desk_of(1)
    page = desk.begin("<img src=x onerror=alert(1)>", viewport={"width": 390, "height": 844}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.keyboard.press("e")
    page.wait_for_selector(".an-claim textarea")
    page.fill(".an-claim textarea", "<script>alert(1)</script><img src=x onerror=alert(2)> [E1].")
    page.keyboard.press("Control+Enter")
    saved(page)
    page.wait_for_selector(".an-claim[data-decision=edit]")
    assert page.locator(".an img, .an script").count() == 0
    assert "<script>" in page.locator(".an-claim").first.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.keyboard.press("?")
    page.wait_for_selector(".an-keys")
    assert page.evaluate("document.querySelector('.an-dialog').scrollWidth") <= 390


@pytest.mark.slow
def test_everything_has_a_name_for_screen_readers(desk_of):
    desk = desk_of(1)
    page = desk.begin("Anna")
    nameless = page.evaluate(
        """() => Array.from(document.querySelectorAll('.an button, .an input, .an textarea, .an canvas'))
            .filter((e) => e.offsetParent)
            .filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length))
            .map((e) => e.outerHTML)"""
    )
    assert nameless == []
    label = page.locator(".an-canvas").get_attribute("aria-label")
    assert re.search(r"Picture 1, 96 by 96 pixels\. Your mask covers 9\.8 %", label)
    assert json.loads(desk.answers[0])["ok"]
