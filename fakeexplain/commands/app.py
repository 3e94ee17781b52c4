"""`fakeexplain app` and `fakeexplain mcp`: options, what they say, exit codes. What they serve is in `app`.

Exit codes: 0 ended as asked, 1 the address is taken, 2 wrong usage or settings or packages missing.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import threading
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fakeexplain.commands.console import EXIT_OUTPUT, EXIT_SOME_FAILED, EXIT_USAGE, err, fail, prepare_folder
from fakeexplain.errors import FakeExplainError, OutputError, SettingsError

if TYPE_CHECKING:
    from app.service import Service
    from fakeexplain.reasoning.writers import Writer

DEFAULT_PORT = 7860
Cases = Annotated[
    Path | None,
    typer.Option(
        "--cases", help="Folder for case folders and batches; without it nothing is kept.", show_default=False
    ),
]
FalseAlarms = Annotated[
    float, typer.Option("--false-alarms", help="Promised rate of `manipulated` among unaltered photographs.")
]
Expert = Annotated[
    str, typer.Option("--expert", help="Folder with weights of the network; `embedded`, or `none` to do without.")
]
MaxMegapixels = Annotated[float, typer.Option("--max-megapixels", min=0.01, help="Refuse larger pictures.")]
MaxMegabytes = Annotated[float, typer.Option("--max-megabytes", min=0.01, help="Refuse larger files.")]


def app(
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; another than this machine needs --token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = DEFAULT_PORT,
    token: Annotated[
        str | None,
        typer.Option("--token", envvar="FAKEEXPLAIN_TOKEN", help="What every request must bring.", show_default=False),
    ] = None,
    cases: Cases = None,
    reviews: Annotated[
        Path | None,
        typer.Option(
            "--reviews",
            help="Database of annotations; without it reviews.sqlite among the cases, else in this folder.",
            show_default=False,
        ),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the page.")] = False,
    no_page: Annotated[bool, typer.Option("--no-page", help="Only the API, without the page.")] = False,
    keep_uploads: Annotated[
        float, typer.Option("--keep-uploads", min=0.05, help="Minutes after which an unused upload is deleted.")
    ] = 60.0,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Examinations and answers at once.")] = 2,
    false_alarms: FalseAlarms = 0.02,
    expert: Expert = "embedded",
    max_megapixels: MaxMegapixels = 64.0,
    max_megabytes: MaxMegabytes = 64.0,
    writer: Annotated[
        str | None,
        typer.Option("--writer", help="Folder of assistant weights to word answers with.", show_default=False),
    ] = None,
    llm: Annotated[
        str | None, typer.Option("--llm", help="A language model of this machine: name or folder.", show_default=False)
    ] = None,
    llm_url: Annotated[
        str | None,
        typer.Option("--llm-url", help="An OpenAI-compatible server; figures go there.", show_default=False),
    ] = None,
    llm_model: Annotated[
        str | None, typer.Option("--llm-model", help="The model's name on that server.", show_default=False)
    ] = None,
) -> None:
    """Open the app in a browser: examine, ask, compare, annotate; also an API for programs.

    [bold]fakeexplain app[/]                              on this machine only
    [bold]fakeexplain app --cases cases[/]                results can be kept in case folders
    [bold]fakeexplain app --reviews reviews.sqlite[/]     annotate the drafts in it
    [bold]fakeexplain app --host 0.0.0.0 --token T[/]     for others, who need the token

    Nothing leaves this machine. Uploads are deleted when unused, and all of them when the app ends.
    """
    _need("fastapi", "uvicorn", *(() if no_page else ("gradio",)))
    from app.security import check_listening

    try:
        check_listening(host, token)
        _check_reviews(reviews)
        service = _service(cases, keep_uploads, workers, false_alarms, expert, max_megapixels, max_megabytes)
        service.writers = _writers(service, writer, llm, llm_url, llm_model)
    except SettingsError as error:
        raise fail(error, EXIT_USAGE) from None
    except OutputError as error:
        raise fail(error, EXIT_OUTPUT) from None
    try:
        listening = _listen(host, port)
    except OSError as error:
        service.close()
        words = f"{host}:{port} cannot be listened on ({error.strerror or error}); try another --port, or --port 0"
        raise fail(words, EXIT_SOME_FAILED) from None
    from app.running import serve
    from app.security import Gatekeeper

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    address = _address(host, listening.getsockname()[1])
    _tell(address, token, cases, keep_uploads, llm_url)
    if not (no_browser or no_page):
        threading.Thread(target=_open_when_ready, args=(address,), daemon=True).start()
    serve(service, Gatekeeper(host, token), listening, page=not no_page, reviews=reviews)


def mcp(
    cases: Cases = None,
    false_alarms: FalseAlarms = 0.02,
    expert: Expert = "embedded",
    max_megapixels: MaxMegapixels = 64.0,
    max_megabytes: MaxMegabytes = 64.0,
) -> None:
    """Serve the tools examine, ask and evidence to an assistant over stdin and stdout (Model Context Protocol).

    For the configuration of an assistant: command [bold]fakeexplain[/], arguments [bold]mcp[/].
    """
    _need("mcp")
    from app.mcp_tools import run_stdio

    try:
        service = _service(cases, 60.0, 1, false_alarms, expert, max_megapixels, max_megabytes)
    except SettingsError as error:
        raise fail(error, EXIT_USAGE) from None
    with service:
        run_stdio(service)


def _service(
    cases: Path | None,
    keep_minutes: float,
    workers: int,
    false_alarms: float,
    expert: str,
    max_megapixels: float,
    max_megabytes: float,
) -> Service:
    """A service with these settings. Raises SettingsError, OutputError."""
    from app.service import Service, ServiceLimits
    from fakeexplain.examiner import Settings
    from fakeexplain.verdict import Panel

    Panel(false_alarms)  # a wrong rate is told now, not with the first picture
    if expert not in ("embedded", "none") and not (Path(expert) / "config.json").is_file():
        raise SettingsError(f"--expert {expert}: holds no config.json; wanted a folder with trained weights")
    if cases is not None:
        prepare_folder(cases)
    limits = ServiceLimits(
        max_bytes=int(max_megabytes * (1 << 20)),
        max_megapixels=max_megapixels,
        workers=workers,
        keep_minutes=keep_minutes,
    )
    settings = Settings(false_alarms, max_megapixels=max_megapixels, expert=None if expert == "none" else expert)
    return Service(settings, limits, cases=cases)


def _check_reviews(reviews: Path | None) -> None:
    """Whether the database somebody named can be used, before the page is up. Raises SettingsError."""
    if reviews is None:
        return
    from data_tools.review_store import ReviewStore

    try:
        ReviewStore(reviews).close()
    except FakeExplainError as error:
        raise SettingsError(f"--reviews {reviews}: {error}") from None


def _writers(
    service: Service, writer: str | None, llm: str | None, llm_url: str | None, llm_model: str | None
) -> dict[str, Callable[[], Writer | None]]:
    """Who can word answers, the default first: what was asked for, else the embedded assistant, else the rules.

    Each is loaded when it is first asked.

    Raises:
        SettingsError: no such weights, or a model's name without its server.
    """
    from fakeexplain.reasoning.assistant_writer import has_embedded_assistant
    from fakeexplain.reasoning.choosing import choose_writer

    if writer is not None and not (Path(writer) / "config.json").is_file():
        raise SettingsError(f"--writer {writer}: holds no config.json; wanted a folder of assistant weights")
    if llm_model and not llm_url:
        raise SettingsError(f"--llm-model {llm_model}: needs --llm-url")
    found: dict[str, Callable[[], Writer | None]] = {}
    if writer is not None:
        found["own assistant"] = lambda: choose_writer(writer, expert=service.examiner().expert)
    if llm is not None:
        found["llm"] = lambda: choose_writer(llm=llm)
    if llm_url is not None:
        made = choose_writer(llm_url=llm_url, llm_model=llm_model)
        found["url"] = lambda: made
    if has_embedded_assistant():
        found["assistant"] = lambda: choose_writer("assistant", expert=service.examiner().expert)
    found["plain"] = lambda: None
    return found


def _need(*modules: str) -> None:
    """Ends with one line when the app's packages are not installed."""
    missing = [m for m in ("app", *modules) if importlib.util.find_spec(m) is None]
    if missing:
        words = f"the app needs {', '.join(missing)}; install it with: pip install 'fakeexplain[app]'"
        raise fail(words, EXIT_USAGE)


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host.strip("[]"), port))
        listening.listen(128)
    except OSError:
        listening.close()
        raise
    return listening


def _address(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def _tell(address: str, token: str | None, cases: Path | None, keep_uploads: float, llm_url: str | None) -> None:
    lines = [
        f"fakeexplain app: {address}" + ("" if token is None else "  (open /login once and enter the token)"),
        "Nothing leaves this machine; no statistics are sent."
        if llm_url is None
        else f"Questions, figures and words about pictures go to {llm_url}, pictures do not; no statistics are sent.",
        f"Uploads are deleted {keep_uploads:g} minutes after their last use, and when the app ends.",
        "Nothing is kept: start with --cases FOLDER to save cases." if cases is None else f"Cases are kept in {cases}.",
        "Ctrl-C ends it.",
    ]
    for line in lines:
        err.print(line, highlight=False, soft_wrap=True, markup=False)


def _open_when_ready(address: str) -> None:
    """Opens the page once the server answers."""
    import urllib.error
    import urllib.request

    for _ in range(600):
        try:
            with urllib.request.urlopen(f"{address}/healthz", timeout=5):
                webbrowser.open(address)
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)


if __name__ == "__main__":
    typer.run(app)
