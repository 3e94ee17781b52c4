"""The page's own files: drawn into blocks, free of what gradio's templates would read, self-contained."""

from __future__ import annotations

import re
import shutil
import subprocess

import gradio as gr
import pytest

from app.annotate_page import SCRIPTS, build_tab, read
from tests.unit.data_tools.review_cases import fresh_store

FILES = ("annotate.html", "annotate.css", *SCRIPTS)


def test_the_tab_is_one_component_that_calls_one_function(tmp_path):
    fresh_store(tmp_path, 1).close()
    with gr.Blocks() as page:
        bench = build_tab(None, tmp_path / "reviews.sqlite")
    (component,) = [b for b in page.blocks.values() if isinstance(b, gr.HTML)]
    (function,) = component.server_fns
    assert function.__name__ == "annotate"
    assert function({"do": "hello", "name": "Anna"})["ok"]
    assert function(["no", "dictionary"])["ok"] is False
    bench.close()


@pytest.mark.parametrize("name", FILES)
def test_nothing_comes_from_outside_and_nothing_is_put_in_as_markup(name):
    text = read(name)
    assert not re.search(r"https?://|@import|url\(", text)
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\b", text)
    if not name.endswith(".js"):  # gradio reads these as templates
        assert not re.search(r"\$\{|\{\{|`|@children", text)


def test_every_key_of_the_help_does_something_and_every_button_too():
    script = read("keys.js")
    html = read("annotate.html")
    keyed = set(re.findall(r"(?:^|[\s{,])\"?([a-z?\[\]+=-]|\d)\"?: (?:\(|DO|help|list|figures|fit|clearMask)", script))
    told = set("jkaerufsnzpbxvmcthdlwg?[]+-0")
    assert told <= keyed | {"-", "+"}
    for name in re.findall(r'data-do="([a-z-]+)"', html):
        assert re.search(rf'"?{name}"?(: |,)', script.partition("const DO = {")[2].partition("};")[0]), name


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_script_parses(tmp_path):
    file = tmp_path / "page.js"
    file.write_text(
        f"(function (element, trigger, props, server, upload, watch) {{{read('canvas.js')}{read('desk.js')}}})"
    )
    done = subprocess.run(["node", "--check", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
