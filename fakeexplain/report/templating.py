"""The template environment of every page this project writes: reports, cases, benchmarks, the app.

What is filled in is escaped and stripped of control characters, and a name that a template misspells is an error. Left
out: what pages say, and the filters that only one of them has.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from importlib import resources

from jinja2 import Environment, FunctionLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from fakeexplain.imaging.source import printable

LONGEST = 1 << 20  # characters of one string


def printed(value: object) -> object:
    """What a template prints: strings without control characters; our own markup and all else untouched."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value, LONGEST)
    return value


def printed_or_nothing(value: object) -> object:
    """The same, with None as nothing."""
    return "" if value is None else printed(value)


def make_environment(
    read: Callable[[str], str], finalize: Callable[[object], object] = printed_or_nothing
) -> Environment:
    """An environment whose templates are what `read` gives for their names."""
    return Environment(
        loader=FunctionLoader(read),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def template_reader(package: str) -> Callable[[str], str]:
    """Reads a file of `package`'s folder templates/."""
    return lambda name: resources.files(package).joinpath("templates", name).read_text("utf-8")


def style_hash(css: str) -> str:
    """What a content security policy calls this one style sheet."""
    return "sha256-" + base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
