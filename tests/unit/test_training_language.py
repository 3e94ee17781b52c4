"""The vocabulary, the order of samples, the chunked loss and the language model's task."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from fakeexplain.errors import SettingsError
from fakeexplain.models.assistant_tokenizer import train_tokenizer
from training.assistant_tokenizer import load_tokenizer, read_texts
from training.chunked_loss import CHUNK, chunked_cross_entropy
from training.config import TrainingConfig, load_training_config
from training.language import LanguageModel, LanguageTask
from training.length_groups import LengthGroups
from training.loop import read_log, train

PROSE = "The river ran past the mill, and the miller counted his sacks: 12, 40 and 7 of them. "


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    rng = np.random.default_rng(0)
    words = ["river", "mill", "sack", "stone", "evening", "walked", "found", "the", "and", "of", "12", "7"]
    path = tmp_path_factory.mktemp("text") / "prose.txt"
    lines = [PROSE + " ".join(rng.choice(words, 30)) + "." for _ in range(120)]
    path.write_text("\n\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tokenizer_folder(text_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(read_texts([text_file]), 400).save_pretrained(folder)
    return folder


def settings(text_file, tokenizer_folder, out, **changes) -> TrainingConfig:
    values = {
        "task": "language",
        "tokenizer": tokenizer_folder,
        "output_dir": out,
        "language": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 128,
        },
        "data": {"text": [text_file], "group": 4, "held_out": 0.1},
        "phases": [{"steps": 1, "size": 64, "per_device_train_batch_size": 4}],
        "max_steps": 4,
        "warmup_steps": 1,
        "decay_steps": 1,
        "mixed_precision": "no",
        "dataloader_num_workers": 0,
        "eval_steps": 0,
        "save_steps": 2,
        "logging_steps": 1,
        "eval_samples": 8,
        "learning_rate": 3e-3,
    }
    return TrainingConfig.model_validate({**values, **changes})


def test_a_missing_tokenizer_and_missing_text_are_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path)
    with pytest.raises(SettingsError, match="no_such"):
        list(read_texts([tmp_path / "no_such.txt"]))


def test_groups_show_every_sample_once_an_epoch_with_little_padding():
    lengths = np.random.default_rng(1).integers(20, 600, 640)
    groups = LengthGroups(lengths, 16, seed=3)
    for epoch in range(2):
        places = [groups.place(epoch * 640 + i) for i in range(640)]
        assert sorted(p.sample for p in places) == list(range(640))
        assert {p.epoch for p in places} == {epoch}
        assert all(lengths[p.sample] <= p.longest for p in places)
        assert sum(p.longest for p in places) < 1.05 * lengths.sum()
        assert all(len({p.longest for p in places[i : i + 16]}) == 1 for i in range(0, 640, 16))
    assert [groups.place(i) for i in range(32)] != [groups.place(640 + i) for i in range(32)]
    # A fresh one that begins in the middle shows the same.
    assert LengthGroups(lengths, 16, seed=3).place(700) == groups.place(700)


def test_fewer_samples_than_a_group_are_repeated():
    groups = LengthGroups(np.array([3, 5]), 4, seed=0)
    assert groups.per_epoch == 4
    assert sorted(groups.place(i).sample for i in range(4)) == [0, 0, 1, 1]


def test_the_chunked_loss_is_cross_entropy_with_its_gradients():
    torch.manual_seed(0)
    count = CHUNK + 37  # more than one chunk, the last one short
    hidden, weight = torch.randn(count, 12, requires_grad=True), torch.randn(50, 12, requires_grad=True)
    targets, weights = torch.randint(50, (count,)), torch.rand(count)
    total, values = chunked_cross_entropy(hidden, weight, targets, weights)
    expected = F.cross_entropy(hidden @ weight.T, targets, reduction="none")
    assert torch.allclose(values, expected, atol=1e-5)
    gradients = torch.autograd.grad(2 * total, [hidden, weight])
    wanted = torch.autograd.grad(2 * (expected * weights).sum(), [hidden, weight])
    for a, b in zip(gradients, wanted, strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_the_loss_is_transformers_own_on_the_weighted_tokens(text_file, tokenizer_folder, tmp_path):
    task = LanguageTask(settings(text_file, tokenizer_folder, tmp_path))
    batch = {k: v[None] for k, v in task.dataset(0, 64)[0].items()}
    batch["weights"][0, 40:] = 0
    assert isinstance(task.model, LanguageModel)
    total, _, counted = task.model(**batch)
    labels = batch["input_ids"].clone()
    labels[0, 40:] = -100
    expected = task.model.language_model(input_ids=batch["input_ids"], labels=labels).loss
    assert float(total / counted.sum()) == pytest.approx(float(expected), abs=1e-4)


@pytest.fixture(scope="module")
def whole_run(text_file, tokenizer_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    train(settings(text_file, tokenizer_folder, out, eval_steps=4), cpu=True)
    return out


def test_language_two_steps_and_a_resume_are_four_bit_for_bit(whole_run, text_file, tokenizer_folder, tmp_path):
    train(settings(text_file, tokenizer_folder, tmp_path, max_steps=2, decay_steps=0), cpu=True)
    # The same settings but for the end: the first two steps do not know how long the run will be.
    train(settings(text_file, tokenizer_folder, tmp_path, eval_steps=4), cpu=True)
    for name in ("model", "ema", "optimizer"):
        once = load_file(whole_run / "checkpoint-4" / f"{name}.safetensors")
        twice = load_file(tmp_path / "checkpoint-4" / f"{name}.safetensors")
        assert once.keys() == twice.keys()
        assert all(torch.equal(once[k], twice[k]) for k in once), name


def test_the_log_has_perplexity_and_speed(whole_run):
    records = read_log(whole_run)
    assert all(r["tokens_per_second"] > 0 for r in records if "loss" in r)
    figures = next(r["validation"] for r in records if "validation" in r)
    assert 1 < figures["text_perplexity"] < 500
    assert json.loads((whole_run / "model.json").read_text())["model_type"] == "llama"


def test_perplexity_falls_below_that_of_single_tokens(text_file, tokenizer_folder, tmp_path):
    config = settings(
        text_file, tokenizer_folder, tmp_path, max_steps=60, eval_steps=60, save_steps=100, logging_steps=60
    )
    train(config, cpu=True)
    figures = next(r["validation"] for r in read_log(tmp_path) if "validation" in r)
    task = LanguageTask(config)
    ids = np.asarray(task._sets.held_out_text.ids)
    shares = np.bincount(np.asarray(task._sets.text.ids), minlength=400) + 1.0
    unigram = float(np.exp(-np.log(shares / shares.sum())[ids].mean()))
    assert figures["text_perplexity"] < 0.7 * unigram


def test_held_out_text_is_never_trained_on(text_file, tokenizer_folder, tmp_path):
    task = LanguageTask(settings(text_file, tokenizer_folder, tmp_path))
    dataset = task.dataset(0, 64)
    trained = len(task._sets.text.ids)
    assert len(task._sets.held_out_text.ids) == pytest.approx(0.1 * trained / 0.9, rel=0.05)
    starts = {int(dataset._windows.place(i).sample) * 64 for i in range(dataset._windows.per_epoch)}
    assert max(starts) + 64 <= trained


def test_settings_that_do_not_fit_are_refused(text_file, tokenizer_folder, tmp_path):
    phases = [{"steps": 1, "size": 256, "per_device_train_batch_size": 4}]
    config = settings(text_file, tokenizer_folder, tmp_path, phases=phases)
    with pytest.raises(SettingsError, match="max_position_embeddings"):
        LanguageTask(config)
    path = tmp_path / "run.yaml"
    path.write_text("task: language\noutput_dir: o\nmax_steps: 1000\n")
    with pytest.raises(SettingsError, match="needs data and language"):
        load_training_config(path)
