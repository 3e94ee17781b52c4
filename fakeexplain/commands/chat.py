"""`fakeexplain chat`: a dialogue about one picture, at a terminal or piped.

Questions are lines; commands begin with a slash. Left out: the dialogue itself (`fakeexplain.conversation`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from fakeexplain.commands.ask import (
    ExpertChoice,
    FalseAlarms,
    Llm,
    LlmModel,
    LlmUrl,
    Wording,
    open_conversation,
    region_of,
    say,
)
from fakeexplain.commands.console import EXIT_SOME_FAILED, EXIT_USAGE, fail, tell_error
from fakeexplain.commands.console import out as console
from fakeexplain.errors import FakeExplainError, OutputError, SettingsError
from fakeexplain.files import write_whole

if TYPE_CHECKING:
    from fakeexplain.conversation import Conversation
    from fakeexplain.records import Region

HELP = """Ask in your own words, one question a line. Commands:
  /region 10 20 200 180    a region to speak of; the questions after it are about it until /region alone
  /region R1               the same for a region that is known
  /regions                 every region by id
  /evidence [E1]           every record, or one in full
  /measure noise           an instrument on the chosen region; /measure noise R1 on another
  /save FILE               what was said, as JSON
  /help, /quit"""


def chat(
    picture: Annotated[Path, typer.Argument(help="A picture.", show_default=False)],
    writer: Wording = "",
    llm: Llm = None,
    llm_url: LlmUrl = None,
    llm_model: LlmModel = None,
    false_alarms: FalseAlarms = 0.02,
    expert: ExpertChoice = "embedded",
) -> None:
    """Talk about a picture: where, why, how sure, what else; mark regions and have them measured.

    [bold]fakeexplain chat photo.jpg[/]                       /help lists commands
    [bold]printf 'Where?\\nWhy?\\n' | fakeexplain chat photo.jpg[/]
    """
    try:
        talk = open_conversation(picture, writer, llm, llm_url, llm_model, false_alarms, expert)
    except SettingsError as error:
        raise fail(error, EXIT_USAGE) from None
    except FakeExplainError as error:
        raise fail(error, EXIT_SOME_FAILED) from None
    if sys.stdin.isatty():
        from fakeexplain.report.terminal import terminal_summary

        console.print(terminal_summary(talk.examination))
        _tell("Ask a question, or /help.")
    failed = Chat(talk).run()
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


class Chat:
    """Reads lines until there are none, or /quit."""

    def __init__(self, talk: Conversation) -> None:
        self.talk = talk
        self.region: Region | None = None
        self.failed = False

    def run(self) -> bool:
        """Whether anything failed in a dialogue that nobody watches (then the exit code tells)."""
        watched = sys.stdin.isatty()
        while True:
            try:
                line = console.input("[bold]> [/]") if watched else sys.stdin.readline()
            except EOFError:
                break
            except KeyboardInterrupt:
                _tell("")
                break
            if not watched and not line:
                break
            line = line.strip()
            if not line:
                continue
            if not watched:
                _tell(f"> {line}", "bold")
            if line.lower() in ("/quit", "/exit", "/q"):
                break
            try:
                self.take(line)
            except KeyboardInterrupt:
                _tell("(stopped)", "dim")
            except FakeExplainError as error:
                self.failed = True
                tell_error(error)
        return self.failed and not watched

    def take(self, line: str) -> None:
        """One line. Raises FakeExplainError."""
        if not line.startswith("/"):
            say(self.talk, line, None if self.region is None else self.region.id)
            console.print()
            return
        command, _, rest = line.partition(" ")
        rest = rest.strip()
        actions = {
            "/help": lambda: _tell(HELP),
            "/region": lambda: self._region(rest),
            "/regions": self._regions,
            "/evidence": lambda: self._evidence(rest),
            "/measure": lambda: self._measure(rest),
            "/save": lambda: self._save(rest),
        }
        action = actions.get(command.lower())
        if action is None:
            raise SettingsError(f"{command}: no such command; wanted one of {', '.join(actions)}, /quit")
        action()

    def _region(self, text: str) -> None:
        if not text:
            self.region = None
            _tell("questions are about the whole picture")
            return
        chosen = region_of(text)
        if isinstance(chosen, str):
            if chosen not in self.talk.regions:
                raise SettingsError(
                    f"{chosen}: no such region; wanted one of {', '.join(self.talk.regions) or 'none yet'}"
                )
            self.region = self.talk.regions[chosen]
        else:
            self.region = self.talk.add_region(box_xyxy=chosen)
        _tell(f"{self.region.id}: {self.region.words}; questions are about it until /region alone")

    def _regions(self) -> None:
        for region in self.talk.regions.values():
            mark = "; chosen" if self.region is not None and self.region.id == region.id else ""
            _tell(f"{region.id}  {region.box_xyxy}  {region.words}; {self._marked(region.id)}{mark}")
        if not self.talk.regions:
            _tell("no regions yet; /region x0 y0 x1 y1 makes one")

    def _marked(self, region_id: str) -> str:
        """Who marked a region, and whether that is a finding."""
        item = self.talk.examination.marked_by.get(region_id)
        if item is None:
            return "marked by you or in this dialogue"
        found = item.id in self.talk.examination.verdict.deciding_ids
        return f"marked by {item.instrument} [{item.id}]{'' if found else ', below its threshold: no finding'}"

    def _evidence(self, which: str) -> None:
        from fakeexplain.reasoning.prompting import evidence_line
        from fakeexplain.reasoning.wording import describe

        for item in self.talk.evidence:
            if which.upper() == item.id:
                _tell(describe(item))
                return
            if not which:
                _tell(evidence_line(item, self.talk.examination.verdict))
        if which:
            raise SettingsError(f"{which}: no such record; wanted one of {', '.join(e.id for e in self.talk.evidence)}")

    def _measure(self, text: str) -> None:
        instrument, _, region_id = text.partition(" ")
        region_id = region_id.strip().removeprefix("on ").strip().upper() or (self.region.id if self.region else "")
        if not instrument or not region_id:
            raise SettingsError("/measure: wanted an instrument and a region, e.g. /measure noise R1")
        say(self.talk, f"measure {instrument} on {region_id}")

    def _save(self, name: str) -> None:
        if not name:
            raise SettingsError("/save: wanted a file name")
        try:
            write_whole(Path(name).expanduser(), self.talk.to_json() + "\n")
        except OSError as error:
            raise OutputError(f"{name}: cannot be written ({error.strerror or error})") from None
        except (RuntimeError, ValueError) as error:  # nobody of that name here; a name that is none
            raise OutputError(f"{name}: cannot be written ({error})") from None
        _tell(f"saved {len(self.talk.turns)} turns to {name}")


def _tell(text: str, style: str = "") -> None:
    console.print(escape(text), style=style or None, highlight=False, soft_wrap=not console.is_terminal)
