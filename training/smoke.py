"""All of the assistant's training in minutes on a CPU: `make train-smoke`, `python -m training.smoke --out FOLDER`.

Forge, examine, write dialogues, learn a vocabulary, pre-train the language model (on text, then with pictures and
maps), three stages, export, ask a question; the losses have to fall, and a stage that was stopped and resumed has to
end with the weights of one that was not.
Deliberately left out: quality. The assistant that comes out has seen a few dozen pictures and can do nothing.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from PIL import Image
from safetensors.torch import load_file

from fakeexplain.errors import FakeExplainError, SettingsError

CONFIGS = Path("configs/training/smoke")
QUESTION = "Was this picture altered, and where?"
_PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")


def smoke(out: Path, photos: Path | None = None, *, pictures: int = 24) -> dict[str, float]:
    """Runs everything; returns seconds by step.

    Args:
        out: folder to write; what is there already is gone on with.
        photos: authentic photographs; scikit-image's when None.
        pictures: how many are forged and examined.

    Raises:
        SettingsError: a loss did not fall, a resumed run ended elsewhere, or a frozen part moved.
    """
    seconds: dict[str, float] = {}
    begun = time.monotonic()

    def done(step: str) -> None:
        seconds[step] = round(time.monotonic() - begun - sum(seconds.values()), 1)
        print(f"-- {step}: {seconds[step]:.1f} s", flush=True)

    dialogues = _data(out, photos or _photographs(out / "photos"), pictures)
    done("pictures and dialogues")
    text = _tokenizer(out, dialogues)
    done("tokenizer")
    expert = _maps(out, dialogues)
    done("expert's maps")
    maps = f"data.maps={out / 'maps'}"
    _train(out, "0_language", dialogues, maps, f"data.text=[{text}]", f"tokenizer={out / 'tokenizer'}")
    from training.export_assistant import export_assistant, export_language

    export_language(out / "language", out / "language_model")
    done("language")
    known = (f"tokenizer={out / 'tokenizer'}", f"language_model_path={out / 'language_model'}")
    export_language(_train(out, "0_words", dialogues, *known, folder="language_words"), out / "language_model_words")
    done("language, words")
    shared = (maps, f"language_model_path={out / 'language_model_words'}", f"expert={expert}")
    _train(out, "1_words", dialogues, *shared, folder="assistant_words")
    _train(out, "1_alignment", dialogues, *shared, f"init_from={out / 'assistant_words/final.safetensors'}")
    done("alignment")
    first = f"init_from={out / 'assistant_alignment/final.safetensors'}"
    _train(out, "2_instruction", dialogues, *shared, first)
    done("instruction")
    _resumed(out, dialogues, *shared, first)
    done("instruction again, stopped and resumed")
    second = f"init_from={out / 'assistant_instruction/final.safetensors'}"
    _train(out, "3_mask_decoding", dialogues, *shared, second)
    done("mask decoding")
    export_assistant(out / "assistant_mask_decoding", out / "assistant")
    print(f"{QUESTION}\n{ask(out / 'assistant', next((dialogues / 'images').iterdir()), QUESTION)!r}")
    done("export and question")
    return seconds


def _photographs(folder: Path) -> Path:
    try:
        from skimage import data
    except ImportError:
        raise SettingsError("no photographs; give --photos FOLDER, or install scikit-image for its own") from None
    folder.mkdir(parents=True, exist_ok=True)
    for name in _PHOTOGRAPHS:
        Image.fromarray(np.array(getattr(data, name)())[..., :3]).save(folder / f"{name}.jpg", quality=93)
    return folder


def _data(out: Path, photos: Path, pictures: int) -> Path:
    from data_tools.instructions.short_answers import write_short
    from data_tools.instructions.write import Plan, write

    write(Plan(photos, size=192, seed=3), out / "set", pictures=pictures, quiet=True)
    write_short(out / "set", per_picture=4)
    return out / "set"


def _tokenizer(out: Path, dialogues: Path) -> Path:
    """The vocabulary; returns the text that it and the language model learn from."""
    from training.assistant_tokenizer import main

    text = out / "text"
    text.mkdir(exist_ok=True)
    for page in sorted(Path("docs").glob("*.md")):
        (text / f"{page.stem}.txt").write_text(page.read_text("utf-8"), encoding="utf-8")
    if not (out / "tokenizer" / "tokenizer.json").is_file():
        main(out / "tokenizer", [text], [dialogues], 1500)
    return text


def _maps(out: Path, dialogues: Path) -> Path:
    """Maps of the embedded expert, of a random one where this copy has none; returns its folder."""
    from fakeexplain.localization import Expert, embedded_folder
    from fakeexplain.models.configuration import load_config
    from fakeexplain.models.forgery_expert import ForgeryLocalizationExpert
    from fakeexplain.models.weights import save_expert
    from training.assistant_data import open_records
    from training.expert_maps import write_maps

    folder = embedded_folder()
    if not (folder / "config.json").is_file():
        folder = out / "expert"
        if not (folder / "config.json").is_file():
            torch.manual_seed(0)
            save_expert(ForgeryLocalizationExpert(load_config(Path("configs/model/tiny.yaml"))), folder)
    rows = open_records((dialogues,), cache=out / "cache")
    write_maps(rows, Expert.load(folder, calibrated=(folder / "calibration.json").is_file()), 64, out / "maps")
    return folder


def _train(out: Path, name: str, dialogues: Path, *overrides: str, folder: str = "") -> Path:
    """One stage; returns its output_dir.

    Raises:
        SettingsError: its loss did not fall.
    """
    from training.config import load_training_config
    from training.loop import read_log, train

    config = _config(out, name, dialogues, *overrides, folder=folder)
    train(load_training_config(CONFIGS / f"{name}.yaml", config), cpu=True)
    target = Path(next(o.partition("=")[2] for o in config if o.startswith("output_dir=")))
    losses = [r["loss"] for r in read_log(target) if "loss" in r]
    half = max(len(losses) // 2, 1)
    start, end = float(np.mean(losses[:half])), float(np.mean(losses[-half:]))
    print(f"{name}: loss {start:.3f} -> {end:.3f}")
    if not end < start:
        raise SettingsError(f"{name}: the loss did not fall ({start:.4f} in the first half, {end:.4f} in the second)")
    return target


def _config(out: Path, name: str, dialogues: Path, *overrides: str, folder: str = "") -> tuple[str, ...]:
    from training.config import load_training_config

    files = {
        "0_language": ["alignment", "mask_alignment", "dialogues"],
        "0_words": ["alignment"],
        "1_words": ["alignment", "mask_alignment", "short_answers"],
        "1_alignment": ["alignment", "mask_alignment"],
    }.get(name, ["dialogues"])
    sources = ",".join(str(dialogues / f"{file}.jsonl") for file in files)
    task = load_training_config(CONFIGS / f"{name}.yaml").task
    return (f"data.sources=[{sources}]", f"output_dir={out / (folder or task)}", *overrides)


def _resumed(out: Path, dialogues: Path, *overrides: str) -> None:
    """The second stage again, in two halves; its weights have to be those of the whole run, bit for bit.

    Raises:
        SettingsError: they are not.
    """
    from training.config import load_training_config
    from training.loop import train

    name = "2_instruction"
    config = _config(out, name, dialogues, *overrides, folder="resumed")
    steps = load_training_config(CONFIGS / f"{name}.yaml").max_steps
    for more in ((f"max_steps={steps // 2}", "decay_steps=0", "eval_steps=0"), ()):
        train(load_training_config(CONFIGS / f"{name}.yaml", (*config, *more)), cpu=True)
    for file in ("model", "ema", "optimizer"):
        once, twice = (
            load_file(out / folder / f"checkpoint-{steps}" / f"{file}.safetensors")
            for folder in ("assistant_instruction", "resumed")
        )
        if once.keys() != twice.keys() or not all(torch.equal(once[k], twice[k]) for k in once):
            raise SettingsError(f"{file}: a run that was stopped and resumed ended with other values")
    print("stopped and resumed: the same weights, averages and moments, bit for bit")


@torch.inference_mode()
def ask(assistant: Path, picture: Path, question: str, *, max_new_tokens: int = 48) -> str:
    """What an assistant says unchecked about a picture; `fakeexplain ask` checks it."""
    from fakeexplain.examiner import Examiner
    from fakeexplain.imaging.source import SourceImage
    from fakeexplain.models.assistant_loading import load_assistant
    from fakeexplain.reasoning import prompting
    from fakeexplain.reasoning.writers import WriteRequest

    model, processor = load_assistant(assistant)
    source = SourceImage.from_path(picture)
    examination = Examiner(keep=1).examine(source)
    request = WriteRequest(source, examination, examination.evidence, {}, (), question)
    inputs = processor(prompting.assistant_messages(request), image=source.rgb)
    written: Any = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
    new = written[0, inputs["input_ids"].shape[1] :]
    if not len(new):
        raise SettingsError(f"{assistant}: wrote nothing")
    return str(processor.tokenizer.decode(new, skip_special_tokens=True))


def main(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("out/train-smoke"),
    photos: Annotated[Path | None, typer.Option(help="Authentic photographs; scikit-image's if not given.")] = None,
    pictures: Annotated[int, typer.Option(min=8, help="How many pictures to forge.")] = 24,
) -> None:
    """Train everything small, end to end."""
    try:
        seconds = smoke(out, photos, pictures=pictures)
    except FakeExplainError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(
        f"all of it in {sum(seconds.values()):.0f} s: losses fell, resume exact, an assistant in {out}/assistant"
    )


if __name__ == "__main__":
    typer.run(main)
