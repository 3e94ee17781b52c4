"""The Investigate tab: drop a picture, read the verdict, look, ask, remark, save in a case, take away.

Only wiring: what is computed is `handlers`', what it looks like is `fragments`' and `viewer`'s. A session keeps the id
of its picture and what the next question is about, nothing else. Left out: the other tabs.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import gradio as gr
import numpy as np
from gradio.utils import NamedString
from PIL import Image

from app import casebook, fragments, handlers
from app.errors import AppError
from app.fragments import Pending
from app.layers import display_size
from app.pictures import Picture
from app.service import Progress, Service
from app.viewer import NOTHING, Value, read, viewer
from app.viewer.scenes import crop_of, scene_key, scene_of
from fakeexplain.errors import FakeExplainError, MeasurementError
from fakeexplain.records import Answer, AnswerSentence, ToolCall

_MASK_URI = "data:image/png;base64,"
_LONGEST_MASK = 4_000_000  # characters of a brushed mask
_WRITERS = {"plain": "rules", "assistant": "assistant (a small language model)"}
Session = dict[str, Any]  # "picture": id, "region": id asked about, "about": turn -> region, "clicks", "base"


def new_session() -> Session:
    return {"picture": "", "region": "", "about": {}, "clicks": [], "base": None}


class InvestigateTab:
    """Builds the tab inside the tabs that are open; `session` is the state that other tabs read the picture from."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.session = gr.State(new_session())
        with gr.Column(elem_classes=["fx-investigate"]):
            self.upload = upload_box("fx-first", "Picture to examine")
            self.message = html("", "fx-message")
            gr.HTML(fragments.intro(), apply_default_css=False, js_on_load=None)
            self.summary = html("", "fx-summary")
            with gr.Row(elem_classes=["fx-columns", "fx-result"]):
                with gr.Column(elem_classes=["fx-left"]):
                    self.viewer = viewer(self._scene, self._crop, "fx-viewer")
                with gr.Column(elem_classes=["fx-right"]):
                    self.findings = html("", "fx-findings-list", "findings.js")
                    self._build_chat()
            with gr.Row(elem_classes=["fx-columns", "fx-result"]):
                with gr.Column(elem_classes=["fx-left"], min_width=0):
                    self.notes = html("", "fx-notes", "findings.js")
                    self.exports = html("", "fx-exports")
                with gr.Column(elem_classes=["fx-right"], min_width=0):
                    self._build_case()
        self._wire()

    def _build_chat(self) -> None:
        names = handlers.writers(self.service)
        gr.HTML("<div class='fx-part'><h2>Ask about this picture</h2></div>", apply_default_css=False, js_on_load=None)
        self.thread = html("", "fx-chat")
        self.about = html("", "fx-about", "chat.js")
        self.suggestions = html("", "fx-suggestions", "chat.js")
        with gr.Row(elem_classes=["fx-ask-row"]):
            self.question = gr.Textbox(
                label="Your question",
                placeholder="Why here? What else could it be?",
                lines=1,
                max_lines=5,
                max_length=handlers.LONGEST_QUESTION,
                elem_id="fx-question",
            )
            self.ask = gr.Button("Ask", variant="primary", elem_id="fx-ask", min_width=70)
            self.stop = gr.Button("Stop", elem_id="fx-stop", min_width=70)
        self.writer = gr.Dropdown(
            [(_WRITERS.get(n, n), n) for n in names],
            value=names[0],
            label="Who words the answers",
            visible=len(names) > 1,
            elem_id="fx-writer",
        )

    def _build_case(self) -> None:
        words = "Keep it in a case" if self.service.cases is not None else "Cases"
        gr.HTML(f"<div class='fx-part'><h2>{words}</h2></div>", apply_default_css=False, js_on_load=None)
        if self.service.cases is None:
            gr.HTML(
                "<p class='fx-part fx-soft'>Start the app with a folder for cases to keep pictures, remarks and "
                "conversations, with a log that shows later changes.</p>",
                apply_default_css=False,
                js_on_load=None,
            )
        with gr.Row(elem_classes=["fx-row"], visible=self.service.cases is not None):
            self.case_name = gr.Dropdown(
                list(casebook.list_cases(self.service)),
                value=None,
                label="Case (a new name opens a new one)",
                allow_custom_value=True,
                elem_id="fx-case-name",
            )
            self.author = gr.Textbox(label="Your name, for the log", max_length=120, elem_id="fx-author")
            self.save = gr.Button("Save in the case", elem_id="fx-save-case")
        self.saved = html("", "fx-saved")

    def _wire(self) -> None:
        shown = [self.summary, self.viewer, self.findings, self.thread, self.suggestions, self.about, self.notes]
        shown += [self.exports, self.saved]
        self.upload.upload(
            self._examine, [self.upload, self.session], [self.upload, self.message, self.session, *shown], **QUIET
        )
        asking = [self.thread, self.question, self.viewer, self.findings, self.about, self.session, self.message]
        typed = [self.question, self.writer, self.session]
        asked = gr.on([self.question.submit, self.ask.click], self._ask, typed, asking, trigger_mode="once", **QUIET)
        pressed = self.suggestions.ask(self._ask_suggested, [self.writer, self.session], asking, **QUIET)
        self.stop.click(self._after_stop, [self.session], [self.thread], cancels=[asked, pressed], **QUIET)
        placed = [self.viewer, self.about, self.session, self.message]
        self.viewer.region(self._add_region, [self.session], placed, **QUIET)
        self.viewer.refine(self._refine, [self.session], placed, **QUIET)
        self.about.clear(self._whole_picture, [self.session], [self.viewer, self.about, self.session], **QUIET)
        noted = [self.findings, self.notes, self.message]
        for part in (self.findings, self.notes):
            part.note(self._note, [self.author, self.session], noted, **QUIET)
        self.save.click(self._save, [self.case_name, self.author, self.session], [self.saved, self.case_name], **QUIET)

    # ---- examining

    def _scene(self, request: dict[str, Any]) -> dict[str, Any]:
        return scene_of(self.service, str(request.get("id", "")))

    def _crop(self, request: dict[str, Any]) -> dict[str, Any]:
        return crop_of(self.service, str(request.get("id", "")), request.get("box"))

    def _examine(self, path: str | None, session: Session) -> Iterator[Any]:
        keep = [gr.skip()] * 9
        if not path:
            return
        name, data = take_upload(path)
        try:
            for event in handlers.examine_events(self.service, data, name):
                if isinstance(event, Progress):
                    yield None, fragments.progress(event, name), gr.skip(), *keep
                else:
                    session = {**new_session(), "picture": event.id}
                    yield None, "", session, *self._shown(event.id)
        except FakeExplainError as error:
            yield None, problem(error), gr.skip(), *keep

    def _shown(self, picture_id: str) -> list[Any]:
        view, picture = handlers.view(self.service, picture_id), self.service.picture(picture_id)
        return [
            fragments.summary(view),
            value_of(picture),
            self._findings(view),
            "",
            fragments.suggestions(view.questions),
            "",
            fragments.notes(view),
            fragments.exports(picture),
            "",
        ]

    def _findings(self, view: handlers.PictureView) -> str:
        return fragments.findings(view, fragments.tones_of(view.evidence))

    # ---- the conversation

    def _ask_suggested(self, writer: str, session: Session, event: gr.EventData) -> Iterator[Any]:
        yield from self._ask(str(event._data.get("question", "")), writer, session)

    def _ask(self, question: str, writer: str, session: Session) -> Iterator[Any]:
        same = gr.skip()
        if not question.strip() or not session["picture"]:
            yield same, same, same, same, same, same, same
            return
        picture_id, region = session["picture"], session["region"]
        pending = Pending(question.strip(), region)
        try:
            picture = self.service.picture(picture_id)
            yield self._thread(picture, session, pending), "", same, same, same, same, ""
            for event in handlers.ask(self.service, picture_id, question, region=region or None, writer=writer):
                if isinstance(event, AnswerSentence):
                    pending.sentences.append(event)
                elif isinstance(event, ToolCall):
                    pending.tool_calls.append(event)
                else:
                    yield self._answered(picture, session, event)
                    return
                yield self._thread(picture, session, pending), same, same, same, same, same, same
        except FakeExplainError as error:
            pending.error = str(error)
            with suppress(FakeExplainError):
                picture = self.service.picture(picture_id)
                yield self._thread(picture, session, pending), same, same, same, same, same, same
                return
            yield same, same, same, same, same, same, problem(error)

    def _answered(self, picture: Picture, session: Session, answer: Answer) -> tuple[Any, ...]:
        turns = () if picture.conversation is None else picture.conversation.turns
        about = dict(session["about"])
        if session["region"]:
            about[len(turns) - 1] = session["region"]
        session = {**session, "about": about, "region": "", "clicks": [], "base": None}
        select = answer.regions[-1].id if answer.regions else next(iter(_cited(answer)), "")
        findings = self._findings(handlers.view(self.service, picture.id))
        return self._thread(picture, session, None), "", value_of(picture, select), findings, "", session, ""

    def _thread(self, picture: Picture, session: Session, pending: Pending | None) -> str:
        turns = () if picture.conversation is None else picture.conversation.turns
        later = () if picture.conversation is None else picture.conversation.evidence
        known = {e.id for e in (*picture.examination.evidence, *later)} | set(handlers.all_regions(picture))
        return fragments.thread(turns, pending, known, session["about"])

    def _after_stop(self, session: Session) -> Any:
        """The answer that was stopped is no turn; the thread shows what was finished."""
        with suppress(FakeExplainError):
            return self._thread(self.service.picture(session["picture"]), session, None)
        return gr.skip()

    # ---- regions that a person draws

    def _add_region(self, session: Session, event: gr.EventData) -> Any:
        data = event._data or {}
        try:
            picture = self._picture(session, data)
            if data.get("kind") == "box":
                layer = handlers.add_region(self.service, picture.id, box_xyxy=data.get("box"))
            else:
                facts = picture.examination.source
                brushed = mask_of_uri(str(data.get("mask", "")), display_size(facts.height, facts.width))
                layer = handlers.add_region(self.service, picture.id, region_mask=brushed)
        except FakeExplainError as error:
            return gr.skip(), gr.skip(), gr.skip(), problem(error)
        session = {**session, "region": layer.id, "clicks": [], "base": None}
        return value_of(picture, layer.id), self._about(picture, layer.id), session, ""

    def _refine(self, session: Session, event: gr.EventData) -> Any:
        """Clicks add up until another region is chosen; each gives a region of its own that can be asked about."""
        data = event._data or {}
        try:
            picture = self._picture(session, data)
            click = (float(data["x"]), float(data["y"]), bool(data.get("add")))
            clicks, base = session["clicks"], session["base"]
            selected = _region_id(picture, str(data.get("selected", "")))
            if not clicks or selected not in (base, session["region"]):
                clicks, base = [], selected
            clicks = [*clicks, click]
            layer = handlers.refine(self.service, picture.id, clicks, base=base)
        except (KeyError, TypeError, ValueError):
            return gr.skip(), gr.skip(), gr.skip(), problem(MeasurementError("a click needs x and y; click again"))
        except FakeExplainError as error:
            return gr.skip(), gr.skip(), gr.skip(), problem(error)
        session = {**session, "region": layer.id, "clicks": clicks, "base": base}
        return value_of(picture, layer.id), self._about(picture, layer.id), session, ""

    def _about(self, picture: Picture, region_id: str) -> str:
        return fragments.about_region(handlers.all_regions(picture)[region_id])

    def _whole_picture(self, session: Session) -> Any:
        session = {**session, "region": "", "clicks": [], "base": None}
        with suppress(FakeExplainError):
            return value_of(self.service.picture(session["picture"])), "", session
        return gr.skip(), "", session

    def _picture(self, session: Session, data: dict[str, Any]) -> Picture:
        """The session's picture. Raises AppError for an event of another one, which the page has left meanwhile."""
        if data.get("id") != session["picture"]:
            raise AppError("this belongs to a picture that is no longer open; draw it again")
        return self.service.picture(session["picture"])

    # ---- remarks and cases

    def _note(self, author: str, session: Session, event: gr.EventData) -> Any:
        data = event._data or {}
        try:
            view = handlers.note(
                self.service,
                session["picture"],
                str(data.get("text", "")),
                evidence_id=str(data.get("evidence", "")),
                status=str(data.get("status", "")),
                author=author or "",
            )
        except FakeExplainError as error:
            return gr.skip(), gr.skip(), problem(error)
        return self._findings(view), fragments.notes(view), ""

    def _save(self, case_name: str | None, author: str, session: Session) -> Iterator[Any]:
        try:
            events = casebook.save_events(self.service, session["picture"], case_name or "", actor=author or "")
            for event in events:
                if isinstance(event, Progress):
                    yield fragments.status("Saving …", "busy"), gr.skip()
                    continue
                words = f"{event.item}, examination {event.examination}, {event.notes} new remarks and answers. "
                words += f"Log head {event.head}: write it down, it shows later whether the log was rewritten. "
                text = words + " ".join(event.notices)
                names = list(casebook.list_cases(self.service))
                yield fragments.status(text, title=f"Saved in {event.case}."), gr.update(choices=names)
        except FakeExplainError as error:
            yield problem(error), gr.skip()


QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def html(value: str, elem_id: str, script: str | None = None) -> gr.HTML:
    """A part of the page that we draw ourselves; `script` is a file of app/viewer that turns clicks into events."""
    code = None if script is None else read(script)
    return gr.HTML(
        value, apply_default_css=False, js_on_load=code, elem_id=elem_id, elem_classes=["fx-bare", "fx-quiet"]
    )


def upload_box(
    css_class: str, label: str, file_count: Literal["single", "multiple", "directory"] = "single"
) -> gr.File:
    """Where files are dropped; what arrives are the bytes themselves."""
    box = gr.File(
        label=label,
        file_count=file_count,
        type="filepath",
        show_label=False,
        elem_classes=["fx-drop", css_class, "fx-quiet"],
    )
    # Gradio's own makes an empty temporary file beside each upload and leaves it there.
    box._process_single_file = lambda file: NamedString(file.path)  # type: ignore[method-assign,assignment]
    return box


def take_upload(path: str) -> tuple[str, bytes]:
    """(name, bytes) of what the upload box wrote, which is then deleted."""
    file = Path(path)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise gr.Error(f"{file.name}: did not arrive ({error.strerror or error}); send it again") from None
    with suppress(OSError):
        file.unlink()
    return file.name, data


def problem(error: FakeExplainError) -> str:
    return fragments.status(str(error), "error", "This did not work.")


def value_of(picture: Picture, select: str = "") -> Value:
    """The viewer's value for a picture. select: evidence or region to light up."""
    return {"id": picture.id, "key": scene_key(picture), "select": select}


def mask_of_uri(uri: str, size: tuple[int, int]) -> np.ndarray:
    """A brushed mask, bool hxw of `size`, from a PNG data URI whose alpha says what was painted.

    Raises:
        MeasurementError: no such picture, or one of another size.
    """
    if not uri.startswith(_MASK_URI) or len(uri) > _LONGEST_MASK:
        raise MeasurementError("the brushed area did not arrive whole; brush it again")
    try:
        with Image.open(io.BytesIO(base64.b64decode(uri[len(_MASK_URI) :], validate=True)), formats=("PNG",)) as image:
            if image.size != size[::-1] or image.mode != "RGBA":
                raise MeasurementError("the brushed area is of another picture; brush it again")
            return np.asarray(image)[..., 3] >= 128
    except (OSError, ValueError, SyntaxError, binascii.Error):
        raise MeasurementError("the brushed area cannot be read; brush it again") from None


def _region_id(picture: Picture, selected: str) -> str | None:
    """A selected finding or region as the region to start from; None for the verdict's mask."""
    if selected in handlers.all_regions(picture):
        return selected
    found = next((e for e in picture.examination.evidence if e.id == selected), None)
    return found.region.id if found is not None and found.region is not None else None


def _cited(answer: Answer) -> list[str]:
    """Evidence and regions that an answer cites, the first ones first."""
    return [i for s in answer.sentences for i in (*s.region_ids, *s.evidence_ids)]


__all__ = ["NOTHING", "QUIET", "InvestigateTab", "html", "problem", "take_upload", "upload_box"]
