"""How the app looks: colours, letters and shapes for gradio's own parts, our style sheet, our small page script.

Colours and letters are those of the printed report. Everything is in the package; nothing is loaded from outside.
Gradio 6 takes these where the page is mounted: `gr.mount_gradio_app(server, page, path="/", **page_options())`;
the server also switches gradio's footer and run history off.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Any

import gradio as gr

SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "Liberation Sans", "sans-serif")
MONO = ("ui-monospace", "SF Mono", "Menlo", "Consolas", "Liberation Mono", "monospace")
_NESTED = ("page.css", "parts.css", "viewer.css")


def page_options() -> dict[str, Any]:
    """theme, css and head for `gr.mount_gradio_app` or `launch`."""
    return {
        "theme": theme(),
        "css": "",
        "head": f"<style>{style()}</style><script>{asset('page.js')}</script>",
    }


def style() -> str:
    """Our style sheet. Gradio's own `css` option rewrites rules and loses shorthands that hold variables, so it is not
    used; nesting makes ours stronger than gradio's.
    """
    nested = "\n".join(asset(name) for name in _NESTED)
    return f"{asset('root.css')}\n.gradio-container.gradio-container {{\n{nested}\n}}"


@lru_cache(maxsize=32)
def asset(name: str) -> str:
    """A file of app/assets as text."""
    return resources.files("app").joinpath("assets", name).read_text("utf-8")


def theme() -> gr.themes.Base:
    """Gradio's variables set to ours, which are defined for light and dark in page.css."""
    same: dict[str, str] = {
        "body_background_fill": "var(--fx-paper)",
        "body_text_color": "var(--fx-ink)",
        "body_text_color_subdued": "var(--fx-soft)",
        "background_fill_primary": "var(--fx-sheet)",
        "background_fill_secondary": "var(--fx-wash)",
        "border_color_primary": "var(--fx-line)",
        "border_color_accent": "var(--fx-accent)",
        "block_background_fill": "transparent",
        "block_border_color": "var(--fx-line)",
        "block_label_background_fill": "transparent",
        "block_label_text_color": "var(--fx-soft)",
        "block_title_text_color": "var(--fx-ink)",
        "block_info_text_color": "var(--fx-soft)",
        "input_background_fill": "var(--fx-sheet)",
        "input_border_color": "var(--fx-edge)",
        "input_border_color_focus": "var(--fx-accent)",
        "input_placeholder_color": "var(--fx-soft)",
        "button_primary_background_fill": "var(--fx-ink)",
        "button_primary_background_fill_hover": "var(--fx-accent)",
        "button_primary_text_color": "var(--fx-paper)",
        "button_primary_border_color": "var(--fx-ink)",
        "button_secondary_background_fill": "var(--fx-sheet)",
        "button_secondary_background_fill_hover": "var(--fx-wash)",
        "button_secondary_text_color": "var(--fx-ink)",
        "button_secondary_border_color": "var(--fx-edge)",
        "color_accent": "var(--fx-accent)",
        "color_accent_soft": "var(--fx-wash)",
        "link_text_color": "var(--fx-accent)",
        "link_text_color_hover": "var(--fx-accent)",
        "loader_color": "var(--fx-accent)",
        "table_border_color": "var(--fx-line)",
        "table_even_background_fill": "var(--fx-sheet)",
        "table_odd_background_fill": "var(--fx-sheet)",
        "checkbox_background_color": "var(--fx-sheet)",
        "checkbox_background_color_selected": "var(--fx-accent)",
        "checkbox_border_color": "var(--fx-edge)",
        "checkbox_label_background_fill": "transparent",
        "slider_color": "var(--fx-accent)",
        "error_background_fill": "var(--fx-sheet)",
        "error_text_color": "var(--fx-manipulated)",
        "error_border_color": "var(--fx-manipulated)",
    }
    dark = {f"{name}_dark": value for name, value in same.items() if name != "color_accent"}  # gradio has no dark one
    shapes = {
        "block_border_width": "0px",
        "block_border_width_dark": "0px",
        "block_shadow": "none",
        "block_shadow_dark": "none",
        "block_padding": "0px",
        "block_radius": "10px",
        "block_label_margin": "0px",
        "input_radius": "8px",
        "input_border_width": "1px",
        "input_border_width_dark": "1px",
        "input_shadow": "none",
        "input_shadow_focus": "none",
        "button_large_radius": "8px",
        "button_medium_radius": "8px",
        "button_small_radius": "8px",
        "button_border_width": "1px",
        "button_border_width_dark": "1px",
        "button_primary_shadow": "none",
        "button_secondary_shadow": "none",
        "button_transition": "background-color .12s, border-color .12s",
        "layout_gap": "14px",
    }
    base = gr.themes.Base(font=SANS, font_mono=MONO)
    return base.set(**same, **dark, **shapes)
