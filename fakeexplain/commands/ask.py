"""`fakeexplain ask`: one question about one picture; and the options that `ask` and `chat` share.

Left out: the dialogue itself (`fakeexplain.conversation`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from fakeexplain.commands.console import EXIT_SOME_FAILED, EXIT_USAGE, err, fail
from fakeexplain.commands.console import out as console
from fakeexplain.errors import FakeExplainError, MeasurementError, SettingsError

if TYPE_CHECKING:
    from fakeexplain.conversation import Conversation
    from fakeexplain.records import Answer, AnswerSentence, ToolCall

Wording = Annotated[
    str,
    typer.Option(
        "--wording",
        "--writer",
        help="`assistant` (default), `plain` (rules alone), or a folder of assistant weights.",
        show_default=False,
    ),
]
Llm = Annotated[
    str | None,
    typer.Option("--llm", help="Your own language model: folder, or name in the local cache.", show_default=False),
]
LlmUrl = Annotated[
    str | None,
    typer.Option(
        "--llm-url",
        help="An OpenAI-compatible server, e.g. http://127.0.0.1:11434/v1; the key comes from FAKEEXPLAIN_LLM_KEY.",
        show_default=False,
    ),
]
LlmModel = Annotated[
    str | None, typer.Option("--llm-model", help="The model's name on that server.", show_default=False)
]
FalseAlarms = Annotated[float, typer.Option("--false-alarms", help="Promised rate, as for `examine`.")]
ExpertChoice = Annotated[
    str, typer.Option("--expert", help="Folder with weights of the network; `embedded`, or `none` to do without.")
]


def ask(
    picture: Annotated[Path, typer.Argument(help="A picture.", show_default=False)],
    question: Annotated[str, typer.Argument(help="In your own words.", show_default=False)],
    region: Annotated[
        str | None,
        typer.Option("--region", help="x0,y0,x1,y1 in pixels of the upright picture, or R1.", show_default=False),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
    writer: Wording = "",
    llm: Llm = None,
    llm_url: LlmUrl = None,
    llm_model: LlmModel = None,
    false_alarms: FalseAlarms = 0.02,
    expert: ExpertChoice = "embedded",
) -> None:
    """Ask about a picture. Every sentence is checked against the measurements before it is shown.

    [bold]fakeexplain ask photo.jpg "Where, if anywhere, was it changed?"[/]
    [bold]fakeexplain ask photo.jpg "Anything in here?" --region 120,80,260,220[/]
    [bold]fakeexplain ask photo.jpg "Why?" --llm-url http://127.0.0.1:11434/v1 --llm-model llama3.1[/]
    """
    try:
        if not question.strip():
            raise SettingsError("the question is empty; wanted one in your own words")
        chosen = None if region is None else region_of(region)
        talk = open_conversation(picture, writer, llm, llm_url, llm_model, false_alarms, expert)
        if json_output:
            typer.echo(_as_json(talk, talk.ask(question, region=chosen)))
            return
        say(talk, question, chosen)
    except SettingsError as error:
        raise fail(error, EXIT_USAGE) from None
    except FakeExplainError as error:
        raise fail(error, EXIT_SOME_FAILED) from None


def _as_json(talk: Conversation, answer: Answer) -> str:
    """The answer, the verdict it stands under, and every record that it cites."""
    cited = {i for s in answer.sentences for i in s.evidence_ids}
    told = {
        **answer.model_dump(mode="json"),
        "verdict": talk.examination.verdict.model_dump(mode="json"),
        "cited": [e.model_dump(mode="json") for e in talk.evidence if e.id in cited],
    }
    return json.dumps(told, indent=1, ensure_ascii=False)


def region_of(text: str) -> str | tuple[float, ...]:
    """ "120,80,260,220" or "120 80 260 220" -> box; anything with a letter is an id. Raises SettingsError."""
    parts = text.replace(",", " ").split()
    if len(parts) == 1 and parts[0][:1] in "Rr":
        return parts[0].upper()
    try:
        box = tuple(float(p) for p in parts)
    except ValueError:
        box = ()
    if len(box) != 4:
        raise SettingsError(f"region {text!r}: wanted four numbers x0,y0,x1,y1, or an id like R1")
    return box


def open_conversation(
    picture: Path,
    writer: str,
    llm: str | None,
    llm_url: str | None,
    llm_model: str | None,
    false_alarms: float,
    expert: str,
) -> Conversation:
    """A conversation as the options want it; tells on screen when text is about to leave this machine.

    Raises:
        FakeExplainError: anything a user can mend.
    """
    from fakeexplain.conversation import Conversation
    from fakeexplain.examiner import Examiner, Settings
    from fakeexplain.reasoning.choosing import choose_writer

    examiner = Examiner(Settings(false_alarms, expert=None if expert == "none" else expert))
    chosen: Any = choose_writer(writer, llm=llm, llm_url=llm_url, llm_model=llm_model, expert=examiner.expert)
    if llm_url:
        err.print(
            f"text goes to {escape(chosen.host)}: the lines of evidence, your questions and the answers; "
            "never the picture",
            highlight=False,
            soft_wrap=True,
        )
    examiner.writer = chosen  # one that sees the map takes it from the examination
    return Conversation(examiner, picture, writer=chosen)


def say(talk: Conversation, question: str, region: Any = None) -> None:
    """Prints an answer as it comes. Raises MeasurementError, WriterError."""
    from fakeexplain.records import Answer
    from fakeexplain.records import ToolCall as Call

    for event in talk.stream(question, region=region):
        if isinstance(event, Answer):
            if event.struck:
                plural = "s" if event.struck > 1 else ""
                note = (
                    f"{event.struck} sentence{plural} of the writer not carried by the evidence: replaced or left out"
                )
                console.print(f"({note})", style="dim", highlight=False, soft_wrap=True)
        elif isinstance(event, Call):
            _tell_call(event)
        else:
            _tell_sentence(event)


def _tell_call(call: ToolCall) -> None:
    what = f"measured {call.instrument} on {call.region_id}: {call.evidence_id or call.error}"
    console.print(escape(f"· {what}"), style="dim", highlight=False, soft_wrap=True)


def _tell_sentence(sentence: AnswerSentence) -> None:
    # Text of the answer may hold strings of a file: never markup, never control characters (the checker took them out).
    console.print(escape(sentence.text), highlight=False, soft_wrap=not console.is_terminal)


__all__ = ["MeasurementError", "ask", "open_conversation", "region_of", "say"]
