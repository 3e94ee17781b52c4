"""What every HTML page of a report is made with: the template environment, escaping, embedded pictures, the policy.

Every string is escaped and stripped of control characters; pictures are data URIs; a content security policy admits
nothing but those pictures and the one style sheet, by its hash. Left out: what the pages say (`content`, `strings`).
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any

from jinja2 import Environment
from markupsafe import Markup, escape
from PIL import Image

from fakeexplain.imaging.source import printable
from fakeexplain.records import Claim
from fakeexplain.report.content import scalar_words
from fakeexplain.report.pictures import Picture
from fakeexplain.report.templating import LONGEST, make_environment, style_hash, template_reader

_read = template_reader("fakeexplain.report")


def render_template(name: str, **values: Any) -> str:
    """A template of `templates/` as a page, with the style sheet and its hash."""
    css = _read("report.css")
    return str(_environment().get_template(name).render(css=Markup(css), style_hash=style_hash(css), **values))


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = make_environment(_read)
    environment.filters.update(scalar=scalar_words, uri=_uri)
    environment.globals["cite"] = _cite
    return environment


def _cite(claim: Claim, ids: Collection[str]) -> Markup:
    """A claim's text, escaped, its citations of existing evidence as links inside the page."""

    def link(match: re.Match[str]) -> str:
        found = match.group(1)
        return f'<a class="cite" href="#{found}">{found}</a>' if found in ids else match.group(0)

    text = re.sub(r"(?<=\d) %", "\u00a0%", str(escape(printable(claim.text, LONGEST))))
    linked = re.sub(r"\[(E\d+)\]", link, text)
    # At most four citations stay on one line with the full stop; more may break.
    return Markup(re.sub(r'((?:<a class="cite"[^>]*>E\d+</a>){1,4}\.)$', r'<span class="nb">\1</span>', linked))


def _uri(picture: Picture) -> str:
    """The picture as a JPEG data URI."""
    buffer = io.BytesIO()
    Image.fromarray(picture.rgb).save(buffer, "JPEG", quality=90, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
