"""Learns the vocabulary of the small language model: `python -m training.assistant_tokenizer --text T --out DIR ...`.

What a vocabulary is, with its special tokens and its chat template, is in `fakeexplain.models.assistant_tokenizer`;
here is what it learns from: plain text, and dialogues as the assistant reads them. Written as tokenizer.json with
tokenizer_config.json, which transformers loads. Deliberately left out: vocabularies of other language models.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from fakeexplain.errors import FakeExplainError, SettingsError

DEFAULT_SIZE = 5000


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder, from the disk alone.

    Raises:
        SettingsError: none there, or one without our roles and marks.
    """
    from transformers import AutoTokenizer

    from fakeexplain.models.assistant_tokenizer import SPECIALS

    wanted = "wanted a folder that python -m training.assistant_tokenizer wrote"
    if not (folder / "tokenizer.json").is_file():
        raise SettingsError(f"{folder}: no tokenizer.json there; {wanted}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{folder}: cannot be loaded ({error}); {wanted}") from None
    known = tokenizer.get_vocab()
    if missing := [t for t in SPECIALS if t not in known]:
        raise SettingsError(f"{folder}: no token {' '.join(missing)}; {wanted}")
    return tokenizer


def read_texts(paths: Iterable[Path]) -> Iterator[str]:
    """Plain text by paragraphs, in the order of the files' names; a folder stands for its *.txt.

    Raises:
        SettingsError: no such file, no text in a folder, or not UTF-8.
    """
    for path in paths:
        files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
        if not files:
            raise SettingsError(f"{path}: no *.txt in it")
        for file in files:
            try:
                content = file.read_text("utf-8-sig")
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(f"{file}: cannot be read as UTF-8 text ({error})") from None
            for paragraph in content.split("\n\n"):
                if joined := " ".join(paragraph.split()):
                    yield joined


def main(
    out: Annotated[Path, typer.Option(help="Folder to write.", show_default=False)],
    text: Annotated[list[Path] | None, typer.Option(help="Text files, or folders of *.txt.")] = None,
    data: Annotated[list[Path] | None, typer.Option(help="Dialogues: any source that training reads.")] = None,
    vocab_size: Annotated[int, typer.Option(min=300, help="Most entries.")] = DEFAULT_SIZE,
    context: Annotated[int, typer.Option(min=64, help="Most tokens that the language model takes.")] = 2048,
) -> None:
    """Learn the vocabulary of the small language model."""
    from fakeexplain.models.assistant_tokenizer import train_tokenizer
    from training.assistant_data import open_records
    from training.assistant_prompts import dialogues_of, spoken

    try:
        if not text and not data:
            raise SettingsError("nothing to learn from; give --text, --data or both")

        def texts() -> Iterator[str]:
            yield from read_texts(text or ())
            if data:
                for row in open_records(tuple(data), cache=out / "cache"):
                    for dialogue in dialogues_of(row):
                        yield from (spoken(m) for m in dialogue.messages)

        tokenizer = train_tokenizer(texts(), vocab_size, context=context)
        tokenizer.save_pretrained(out)
    except FakeExplainError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    size = (out / "tokenizer.json").stat().st_size / 1e3
    typer.echo(f"{out}: {len(tokenizer)} entries, {size:.0f} kB")


if __name__ == "__main__":
    typer.run(main)
