"""The annotation page: one component with its own template, style and script over the handlers.

`build_tab` is called inside `gr.Blocks` (or a `gr.Tab`). The component talks to the server by one function,
`annotate`, which is `Workbench.call`; nothing comes from outside and no state lives in gradio. Run alone with
`python -m app.annotate_page reviews.sqlite`. Deliberately left out: everything but drawing.
"""

from __future__ import annotations

import argparse
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from app.annotate_handlers import Workbench

if TYPE_CHECKING:
    from app.service import Service

DATABASE = Path("reviews.sqlite")
SCRIPTS = ("canvas.js", "desk.js", "keys.js")  # parts of one function, in this order


def build_tab(service_or_none: Service | None, database_path: Path | None = None) -> Workbench:
    """Draws the workbench into the surrounding blocks.

    Args:
        service_or_none: not needed; a service with a folder for cases says where the database is by default.
        database_path: of the reviews; need not exist yet: the page then says how to make it.

    Returns:
        The handlers; close them when the server ends.
    """
    cases = getattr(service_or_none, "cases", None)
    bench = Workbench(database_path or (Path(cases) / DATABASE.name if cases is not None else DATABASE))

    def annotate(request: dict[str, Any]) -> dict[str, Any]:
        return bench.call(request if isinstance(request, dict) else {})

    gr.HTML(
        html_template=read("annotate.html"),
        css_template=read("annotate.css"),
        js_on_load="".join(read(name) for name in SCRIPTS),
        apply_default_css=False,
        server_functions=[annotate],
        elem_id="fx-annotate",
        label="Annotation workbench",
    )
    return bench


def read(name: str) -> str:
    """A file of app/annotate as text."""
    return resources.files("app").joinpath("annotate", name).read_text("utf-8")


def main() -> None:
    """Serves the page alone on this machine."""
    from app.theme import page_options

    parser = argparse.ArgumentParser(prog="python -m app.annotate_page", description=main.__doc__)
    parser.add_argument("database", type=Path, nargs="?", default=DATABASE)
    parser.add_argument("--port", type=int, default=7861)
    options = parser.parse_args()
    with gr.Blocks(title="fakeexplain: annotate", analytics_enabled=False) as page:
        bench = build_tab(None, options.database)
    try:
        page.launch(server_name="127.0.0.1", server_port=options.port, share=False, quiet=True, **page_options())
    finally:
        bench.close()


if __name__ == "__main__":
    main()
