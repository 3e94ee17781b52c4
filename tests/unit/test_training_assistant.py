"""The assistant's stages on tiny networks: what moves, exact resume, several processes, maps, export, merging."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoTokenizer

from data_tools.instructions.write import Plan, write
from fakeexplain.errors import SettingsError
from fakeexplain.imaging.source import SourceImage
from fakeexplain.localization import Calibration, Expert
from fakeexplain.models.assistant_loading import load_assistant
from fakeexplain.models.assistant_tokenizer import train_tokenizer
from fakeexplain.models.assistant_views import localize, mask_view
from fakeexplain.models.weights import save_expert, weights_sha256
from fakeexplain.reasoning.sights import ABSENT, MapSight, PictureSight
from tests.pictures import PHOTOGRAPHS, photograph
from tests.unit.tiny_models import TOWER, expert
from training import expert_maps
from training.assistant_data import open_records
from training.assistant_model import TrainedAssistant, base_weights
from training.assistant_prompts import dialogues_of, spoken, tokens_of
from training.assistant_stages import AssistantTask, answer_loss, build, iou
from training.config import DialogueConfig, TrainingConfig, load_training_config
from training.expert_maps import MapFolder, map_path, write_maps
from training.export_assistant import export_assistant
from training.language import LanguageTask
from training.language_data import prepare
from training.loop import read_log, train
from training.merge import merge

TRAIN = {
    "assistant_alignment": ["projector", "mask_encoder"],
    "assistant_instruction": ["projector", "mask_encoder", "language_model", "added_rows"],
    "assistant_mask_decoding": ["added_rows", "seg_projection", "mask_decoder", "language_model"],
}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A folder with dialogues, a language model with its tokenizer, an expert, its maps, and the assistant's YAML."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("world")
    (folder / "photos").mkdir()
    for name in PHOTOGRAPHS:
        Image.fromarray(photograph(name)).save(folder / "photos" / f"{name}.jpg", quality=93)
    write(Plan(folder / "photos", size=160, seed=3), folder / "set", pictures=12, quiet=True)
    rows = open_records((folder / "set",), cache=folder / "cache")
    texts = [spoken(m) for row in rows for d in dialogues_of(row) for m in d.messages]
    tokenizer = train_tokenizer(texts, 700, context=4096)
    torch.manual_seed(0)
    language = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(language).save_pretrained(folder / "language_model")
    tokenizer.save_pretrained(folder / "language_model")
    save_expert(expert(lively=True), folder / "expert")
    write_maps(rows, Expert.load(folder / "expert", calibrated=False), 16, folder / "maps")
    (folder / "model.yaml").write_text(
        yaml.safe_dump(
            {
                "language_model": {"path": str(folder / "language_model")},
                "assistant": {
                    "vision": {"custom": TOWER, "layers": [0, 1], "frozen": True},
                    "vision_grid": 2,
                    "grid": 16,
                    "trace_channels": 16,
                    "mask_encoder": {"tokens": 3, "prompt_tokens": 1, "region_tokens": 2, "width": 16, "heads": 2},
                    "mask_decoder": {"width": 16, "depth": 1, "heads": 2, "mlp": 16},
                    "lora_r": 2,
                    "lora_alpha": 4,
                },
            }
        )
    )
    return folder


def settings(world: Path, out: Path, task: str = "assistant_instruction", **changes: object) -> TrainingConfig:
    data = {"sources": [str(world / "set" / "dialogues.jsonl")], "maps": str(world / "maps"), "group": 4}
    values: dict[str, object] = {
        "task": task,
        "model": str(world / "model.yaml"),
        "output_dir": str(out),
        "train": TRAIN.get(task, []),
        "data": {**data, "held_out": 0.3, **dict(changes.pop("data", {}))},  # type: ignore[call-overload]
        "phases": [{"steps": 1, "size": 4096, "per_device_train_batch_size": 4}],
        "max_steps": 4,
        "warmup_steps": 1,
        "decay_steps": 1,
        "mixed_precision": "no",
        "dataloader_num_workers": 0,
        "eval_steps": 0,
        "save_steps": 2,
        "logging_steps": 1,
        "eval_samples": 8,
        "learning_rate": 5e-3,
    }
    return TrainingConfig.model_validate({**values, **changes})


@pytest.mark.parametrize("task", list(TRAIN))
def test_a_stage_moves_what_its_config_names_and_nothing_else(task, world, tmp_path):
    torch.manual_seed(0)
    before, _ = build(settings(world, tmp_path, task))
    frozen = {n: v.clone() for n, v in base_weights(before).items()}
    on_disk = (world / "language_model" / "model.safetensors").read_bytes()
    own = {n: v.clone() for n, v in before.state_dict().items()}
    train(settings(world, tmp_path, task), cpu=True)
    after = load_file(tmp_path / "checkpoint-4" / "model.safetensors")
    assert after.keys() == own.keys()  # the language model's own weights are not even written
    assert not any(n in frozen for n in after)
    assert (world / "language_model" / "model.safetensors").read_bytes() == on_disk
    moved = {n for n in own if not torch.equal(own[n], after[n])}
    assert {n.split(".")[0] for n in moved} == set(TRAIN.get(task, []))
    assert all("lora_" in n for n in moved if n.startswith("language_model."))


def test_the_language_models_own_weights_stay_bit_equal_in_the_trained_process(world, tmp_path, monkeypatch):
    import training.loop as loop

    kept: list[AssistantTask] = []
    original = loop.TASKS["assistant_instruction"]
    monkeypatch.setitem(loop.TASKS, "assistant_instruction", lambda c: kept.append(original(c)) or kept[0])
    train(settings(world, tmp_path), cpu=True)
    stored = load_file(world / "language_model" / "model.safetensors")
    trained = {
        n.removeprefix("language_model.").replace(".base_layer", ""): v for n, v in base_weights(kept[0].model).items()
    }
    assert trained.keys() == stored.keys()
    assert all(torch.equal(trained[n], stored[n]) for n in stored)


@pytest.mark.parametrize("task", ["assistant_alignment", "assistant_instruction", "assistant_mask_decoding"])
def test_assistant_two_steps_and_a_resume_are_four_bit_for_bit(task, world, tmp_path):
    train(settings(world, tmp_path / "whole", task), cpu=True)
    train(settings(world, tmp_path / "halves", task, max_steps=2, decay_steps=0), cpu=True)
    train(settings(world, tmp_path / "halves", task), cpu=True)
    for name in ("model", "ema", "optimizer"):
        once, twice = (load_file(tmp_path / p / "checkpoint-4" / f"{name}.safetensors") for p in ("whole", "halves"))
        assert once.keys() == twice.keys()
        assert all(torch.equal(once[k], twice[k]) for k in once), name


def test_assistant_two_processes_have_the_losses_of_one(world, tmp_path):
    """Without dropout, which every process draws for itself."""
    content = yaml.safe_load((world / "model.yaml").read_text())
    content["assistant"]["lora_dropout"] = 0.0
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(content))
    changes = {"model": str(tmp_path / "model.yaml"), "max_steps": 2, "decay_steps": 0}
    train(settings(world, tmp_path / "one", "assistant_mask_decoding", **changes), cpu=True)
    config = settings(world, tmp_path / "two", "assistant_mask_decoding", **changes).model_dump(mode="json")
    config["phases"][0]["per_device_train_batch_size"] = 2
    (tmp_path / "two.yaml").write_text(json.dumps(config))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "training.run", "--cpu", "--config", str(tmp_path / "two.yaml")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    finished = subprocess.run(command, capture_output=True, text=True, timeout=400, env=environment)
    assert finished.returncode == 0, finished.stderr[-2000:]
    one, two = read_log(tmp_path / "one"), read_log(tmp_path / "two")
    for a, b in zip(one, two, strict=True):
        for name in ("loss", "answer", "mask_bce", "mask_dice", "click_bce", "click_dice"):
            assert a[name] == pytest.approx(b[name], abs=2e-4), name


def test_the_loss_falls_and_held_out_figures_are_logged(world, tmp_path):
    config = settings(world, tmp_path, "assistant_mask_decoding", max_steps=16, eval_steps=16, save_steps=100)
    train(config, cpu=True)
    records = read_log(tmp_path)
    losses = [r["loss"] for r in records if "loss" in r]
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    figures = next(r["validation"] for r in records if "validation" in r)
    assert 0 <= figures["region_iou"] <= 1
    assert {"click_1_iou", "click_2_iou", "answer_perplexity"} <= figures.keys()


def test_regions_are_tried_with_another_map_and_picture(world, tmp_path):
    task = AssistantTask(settings(world, tmp_path, "assistant_mask_decoding"))
    (batch,) = (b for b in task._validation if (b["input_ids"] == task._seg_id).any())
    twice = {name: torch.cat([value, value]) for name, value in batch.items()}
    vars(task)["_validation"] = [twice]
    figures, _ = task.evaluate(task.model.eval())
    assert figures["other_map_iou"] == pytest.approx(figures["region_iou"], abs=1e-4)  # its own map, put in again
    twice["mask_inputs"][1] = 0
    assert task.evaluate(task.model)[0]["other_map_iou"] != figures["other_map_iou"]


def test_other_pictures_maps_are_tried_in_validation(world, tmp_path):
    task = AssistantTask(settings(world, tmp_path))
    figures, score = task.evaluate(task.model.eval())
    assert {"answer_perplexity", "other_map_perplexity", "other_picture_perplexity"} == figures.keys()
    assert score == pytest.approx(-np.log(figures["answer_perplexity"]), abs=1e-3)


def test_losses_are_taken_on_answers_only(world, tmp_path):
    task = AssistantTask(settings(world, tmp_path))
    dataset = task.dataset(0, 4096)
    batch = dataset.collate([dataset[i] for i in range(4)])
    tokenizer = task.processor.tokenizer
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    for row in range(4):
        ids, labels = batch["input_ids"][row], batch["labels"][row]
        kept = labels != -100
        assert torch.equal(ids[kept], labels[kept])
        assert int(labels[kept][-1]) == end
        assert not any(str(i) in tokenizer.decode(ids[kept]) for i in ("<|user|>", "<image>", "<mask>"))
    output = task.model.eval()(
        **{n: batch[n] for n in batch if n in ("input_ids", "attention_mask", "pixel_values", "mask_inputs")},
        **{n: batch[n] for n in batch if n in ("trace_features", "mask_present", "region_inputs", "labels")},
    )
    mine = answer_loss(output.logits, batch["labels"])
    assert float(mine.total / mine.count) == pytest.approx(float(output.language_loss), abs=1e-4)


@pytest.mark.parametrize(("predicted", "absent"), [(1.0, 0.0), (0.0, 0.0), (1.0, 1.0)])
def test_maps_are_the_experts_the_true_ones_or_none(predicted, absent, world, tmp_path):
    data = {"predicted_share": predicted, "absent_share": absent}
    task = AssistantTask(settings(world, tmp_path, data=data))
    dataset = task.dataset(0, 4096)
    rows = open_records((world / "set" / "dialogues.jsonl",), cache=world / "cache")
    for index in range(6):
        sample = dataset[index]
        row = rows[int(dataset.sequences.rows[dataset._groups.place(index).sample])]
        expected = MapFolder(world / "maps").find(row.record.sha256)
        assert bool(sample["mask_present"]) == (absent == 0.0)
        if absent:
            assert float(sample["mask_inputs"].abs().max()) == 0
        else:
            assert torch.equal(sample["mask_inputs"], expected["mask_inputs"]) == (predicted == 1.0)
            assert torch.equal(sample["trace_features"], expected["trace_features"])
        if not predicted:
            truth = np.asarray(Image.open(world / "set" / row.record.mask).convert("L")) >= 128
            assert float(sample["mask_inputs"][0, 0].mean()) == pytest.approx(truth.mean(), abs=0.06)


def test_maps_are_resumed_and_belong_to_one_expert(world, tmp_path):
    rows = open_records((world / "set",), cache=world / "cache")
    found = Expert.load(world / "expert", calibrated=False)
    path = map_path(world / "maps", rows[0].record.sha256)
    path.unlink()
    count, made, _ = write_maps(rows, found, 16, world / "maps")
    assert (count, made) == (12, 1)
    assert path.is_file()
    with pytest.raises(SettingsError, match="choose another --out"):
        write_maps(rows, found, 32, world / "maps")
    with pytest.raises(SettingsError, match=r"maps\.json"):
        MapFolder(tmp_path)


def test_maps_are_those_that_the_assistant_is_shown_in_use(world, tmp_path):
    shutil.copytree(world / "expert", tmp_path / "expert")
    shifted = Calibration(
        weights_sha256=weights_sha256(tmp_path / "expert"), temperature=0.5, offset=1.5, scores={"all": (0.0,) * 200},
        operation_reliability={}, data="none",
    )  # fmt: skip
    (tmp_path / "expert" / "calibration.json").write_text(shifted.model_dump_json())
    expert_maps.main([world / "set"], tmp_path / "maps", tmp_path / "expert", grid=16, threads=None)
    row = open_records((world / "set",), cache=world / "cache")[0]
    shown, _ = localize(Expert.load(tmp_path / "expert"), SourceImage.from_path(row.picture), 16)
    kept = MapFolder(tmp_path / "maps").find(row.record.sha256)
    assert kept["mask_inputs"].allclose(mask_view(shown.map, shown.confidence, 16), atol=1e-3)
    with pytest.raises(SettingsError, match="choose another --out"):  # nor are they mixed with others
        write_maps([], Expert.load(tmp_path / "expert", calibrated=False), 16, tmp_path / "maps")


def test_clicks_are_drawn_from_their_seed_and_lie_where_they_should(world, tmp_path):
    model, _ = build(settings(world, tmp_path, "assistant_mask_decoding"))
    assert isinstance(model, TrainedAssistant)
    side = 64
    targets = torch.zeros(3, 1, side, side)
    targets[0, 0, 8:24, 40:56] = targets[1, 0, 30:50, 10:20] = 1
    targets[2] = -1
    inputs = {"pixel_values": torch.rand(3, 3, 32, 32)}
    seen: list[dict] = []
    model.refine = lambda features, **given: seen.append(given) or (torch.zeros(len(features), 1, side, side) - 1, None)
    clicked = model._click(inputs, targets, [3, 4, 5], 2)
    assert clicked is not None
    assert clicked.targets.shape == (2, 1, side, side)  # the third has nothing to click at
    with_click = next(s for s in seen if s["boxes"] is None)
    x, y = (with_click["points"][0, 0] * side).long().tolist()
    assert targets[0, 0, y, x] == 1
    with_box = next(s for s in seen if s["boxes"] is not None)
    box = with_box["boxes"][0] * side
    assert torch.allclose(box, torch.tensor([10.0, 30.0, 20.0, 50.0]), atol=2.1)
    assert float(with_box["point_labels"][0, 0]) == -1
    first = [s["points"].clone() for s in seen]
    seen.clear()
    model._click(inputs, targets, [3, 4, 5], 2)
    assert all(torch.equal(a, s["points"]) for a, s in zip(first, seen, strict=True))


def test_iou_of_known_masks():
    targets = torch.zeros(2, 1, 4, 4)
    targets[0, 0, :2] = 1
    logits = torch.full((2, 1, 4, 4), -1.0)
    logits[0, 0, 1:3] = 1
    found = iou(logits, targets)
    assert float(found.total) == pytest.approx(1 / 3 + 1)
    assert float(found.count) == 2


def test_a_trained_run_is_exported_whole_as_adapters_and_merged(world, tmp_path):
    config = settings(world, tmp_path / "run", max_steps=3, learning_rate=3e-2, expert=str(world / "expert"))
    train(config, cpu=True)
    export_assistant(tmp_path / "run", tmp_path / "whole")
    export_assistant(tmp_path / "run", tmp_path / "adapter", adapter_only=True)
    merge(tmp_path / "adapter", tmp_path / "merged")
    assert (tmp_path / "adapter" / "parts.safetensors").stat().st_size < 2e6
    whole, processor = load_assistant(tmp_path / "whole")
    adapter, _ = load_assistant(tmp_path / "adapter")
    merged, _ = load_assistant(tmp_path / "merged")
    tower = expert(lively=True).vision.clip.visual.state_dict()
    taken = whole.vision_encoder.clip.visual.state_dict()
    assert all(torch.allclose(taken[n].float(), v.float(), atol=1e-2) for n, v in tower.items())
    inputs = processor([{"role": "user", "content": "<image>\n<mask>\nWhere?"}], image=photograph("coffee"))
    with torch.no_grad():
        logits = [m(**inputs).logits[..., 3:50] for m in (adapter, whole, merged)]
    assert torch.allclose(logits[0], logits[1], atol=0.02)
    assert torch.equal(logits[1], logits[2])
    untrained, _ = build(settings(world, tmp_path / "none"))
    with torch.no_grad():
        other = untrained.eval()(**inputs).logits[..., 3:50]
    assert not torch.allclose(logits[0], other, atol=0.05)
    card = (tmp_path / "whole" / "README.md").read_text()
    assert "assistant_instruction" in card
    for file in (tmp_path / "whole").glob("*.json"):
        assert str(world) not in file.read_text()  # no machine's paths


def test_settings_that_cannot_work_are_refused(world, tmp_path):
    with pytest.raises(SettingsError, match="none of them within"):
        AssistantTask(settings(world, tmp_path)).dataset(0, 64)
    sources = {"sources": [str(world / "set" / "alignment.jsonl")]}
    config = settings(world, tmp_path, "assistant_mask_decoding", data=sources)
    with pytest.raises(SettingsError, match="mask decoding has nothing to learn"):
        AssistantTask(config)
    path = tmp_path / "run.yaml"
    path.write_text("task: assistant_alignment\noutput_dir: o\nmax_steps: 1000\n")
    with pytest.raises(SettingsError, match="needs model and data"):
        load_training_config(path)
    path.write_text("task: assistant_alignment\nmodel: m\ndata: {group: 3}\noutput_dir: o\nmax_steps: 1000\n")
    with pytest.raises(SettingsError, match="no multiple of per_device"):
        load_training_config(path)


@pytest.mark.parametrize("folder", ["", "smoke"])
@pytest.mark.parametrize(
    "name", ["0_language", "0_words", "1_words", "1_alignment", "2_instruction", "3_mask_decoding"]
)
def test_the_shipped_configurations_of_the_assistant_are_valid(folder, name):
    config = load_training_config(Path("configs/training") / folder / f"{name}.yaml")
    tasks = {"0_language": "language", "0_words": "language", "1_words": "assistant_alignment"}
    assert config.task == tasks.get(name, f"assistant_{name[2:]}")


def test_the_further_part_of_stage_0_is_valid():
    assert load_training_config(Path("configs/training/0_language_further.yaml")).task == "language"


def test_what_is_left_out_is_shown_neither_in_training_nor_in_validation(world, tmp_path):
    whole = AssistantTask(settings(world, tmp_path / "whole"))
    bare = AssistantTask(settings(world, tmp_path / "bare", data={"leave_out": ["evidence", "map", "picture"]}))
    samples = [[task.dataset(0, 4096)[i] for i in range(12)] for task in (whole, bare)]
    for inputs in ("pixel_values", "mask_inputs", "trace_features"):
        assert [any(s[inputs].any() for s in part) for part in samples] == [True, False], inputs
    assert not any(s["mask_present"].any() for s in samples[1])
    texts = [
        [task.processor.tokenizer.decode(s["input_ids"][0]) for s in part]
        for task, part in zip((whole, bare), samples, strict=True)
    ]
    assert all("; false alarms at most" in t for t in texts[0])  # of the verdict's line; no answer says it so
    assert not any("; false alarms at most" in t for t in texts[1])
    for batch in bare._validation:
        assert not batch["pixel_values"].any()
        assert not batch["mask_present"].any()


def test_language_goes_on_from_a_model_of_its_sizes_and_from_no_other(world, tmp_path):
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 4096,
    }
    changes = {"tokenizer": str(world / "language_model"), "language_model_path": str(world / "language_model")}
    data = {"share_prompts": True, "maps": None}
    config = settings(world, tmp_path, "language", model=None, train=[""], language=sizes, data=data, **changes)
    task = LanguageTask(config)
    begun = load_file(world / "language_model" / "model.safetensors")["model.embed_tokens.weight"]
    assert torch.equal(task.model.language_model.model.embed_tokens.weight, begun)
    assert any(int(task.dataset(0, 4096)[i]["branches"].max()) > 1 for i in range(8))
    train(config, cpu=True)
    losses = [r["loss"] for r in read_log(tmp_path) if "loss" in r]
    assert losses[-1] < losses[0]
    with pytest.raises(SettingsError, match="hidden_size 32, wanted 64"):
        LanguageTask(config.model_copy(update={"language": config.language.model_copy(update={"hidden_size": 64})}))


WORDS = {"answer": 0.0, "picture_words": 1.0, "map_words": 1.0, "region_words": 1.0}


def test_tokens_learn_words_without_the_language_model_and_resume_bit_for_bit(world, tmp_path, monkeypatch):
    monkeypatch.setattr("training.assistant_stages.answer_loss", None)  # would be called if it were asked
    changes = {"loss_weights": WORDS, "max_steps": 12, "decay_steps": 0, "save_steps": 6, "learning_rate": 1e-2}
    alignment = [str(world / "set" / f"{n}.jsonl") for n in ("alignment", "mask_alignment")]
    data = {"sources": alignment, "sight_share": 0.3}
    train(settings(world, tmp_path / "whole", "assistant_alignment", data=data, **changes), cpu=True)
    train(
        settings(world, tmp_path / "halves", "assistant_alignment", data=data, **{**changes, "max_steps": 6}), cpu=True
    )
    train(settings(world, tmp_path / "halves", "assistant_alignment", data=data, **changes), cpu=True)
    once, twice = (load_file(tmp_path / p / "checkpoint-12" / "model.safetensors") for p in ("whole", "halves"))
    assert all(torch.equal(once[k], twice[k]) for k in once)
    logged = [r for r in read_log(tmp_path / "whole") if "map_words" in r]
    for name in ("map_words", "picture_words"):
        assert np.mean([r[name] for r in logged[-3:]]) < 0.9 * np.mean([r[name] for r in logged[:3]])


def test_how_many_tokens_lie_next_to_their_words_is_logged(world, tmp_path):
    weights = {"picture_words": 0.5, "map_words": 0.5}
    train(settings(world, tmp_path, loss_weights=weights, max_steps=2, save_steps=2, eval_steps=2), cpu=True)
    figures = [r["validation"] for r in read_log(tmp_path) if "validation" in r][-1]
    assert 0 <= figures["map_words_right"] <= 1
    assert 0 <= figures["picture_words_right"] <= 1
    assert figures["answer_perplexity"] > 1


@pytest.mark.parametrize("absent", [0.0, 1.0])
def test_questions_about_what_is_shown_have_answers_that_hold_of_it(absent, world, tmp_path):
    data = {"sight_share": 1.0, "absent_share": absent, "predicted_share": 0.5}
    task = AssistantTask(settings(world, tmp_path, data=data))
    dataset = task.dataset(0, 4096)
    tokenizer = task.processor.tokenizer
    asked = {"map": 0, "picture": 0}
    for index in range(12):
        sample = dataset[index]
        said = tokenizer.decode(sample["labels"][0][sample["labels"][0] != -100]).replace("<|end|>", "").strip()
        pixels = (sample["pixel_values"][0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        if "recognise" in said:
            asked["picture"] += 1
            assert any(c in said for c in PictureSight.of(pixels).cells)
            continue
        asked["map"] += 1
        if absent:
            assert said == f"{ABSENT}."
            continue
        sight = MapSight.of(sample["mask_inputs"][0, 0].numpy(), float(sample["mask_inputs"][0, 1].max()))
        facts = {s for forms in sight.sentences().values() for s in forms}
        sentences = re.split(r"(?<=\.) ", said)
        assert sum(re.sub(r" \[E\d+\]\.$", "", s) in facts for s in sentences) >= len(sentences) - 1
    assert min(asked.values()) >= 2


def test_words_stand_where_the_assistants_tokens_will(world, tmp_path):
    model, processor = build(settings(world, tmp_path))
    marks = set(model.config.mark_ids.values())
    rows = open_records((world / "set",), cache=world / "cache")
    regions = 0
    for row in rows:
        for dialogue in dialogues_of(row):
            words = {"<image>": [5] * 4, "<mask>": [6] * 4, **{i: [7] * 2 for i in dialogue.regions}}
            ids, _ = tokens_of(dialogue, processor.tokenizer, words)
            shown = dict.fromkeys(dialogue.regions, np.ones((8, 8), bool))
            image = np.zeros((8, 8, 3), np.uint8)
            real = processor(dialogue.messages, image=image, regions=shown, labels=True)["input_ids"][0].tolist()
            assert len(ids) == len(real)
            differ = [(a, b) for a, b in zip(ids, real, strict=True) if a != b]
            assert all(b in marks for _, b in differ)
            assert len(differ) >= 8
            regions += 7 in [a for a, _ in differ]
    assert regions


def test_language_reads_words_and_answers_about_them(world, tmp_path):
    data = DialogueConfig(
        sources=(world / "set" / "dialogues.jsonl",), maps=world / "maps", sights=3, share_prompts=True, held_out=0.3
    )
    tokenizer = AutoTokenizer.from_pretrained(world / "language_model")
    sets = prepare(data, tokenizer, tmp_path, 4096)
    text = tokenizer.decode(sets.dialogues.ids)
    assert "asks for: what the map marks" in text
    assert "asks for: what the picture looks like" in text
    without = prepare(data.model_copy(update={"sights": 0}), tokenizer, tmp_path, 4096)
    assert "what the map marks" not in tokenizer.decode(without.dialogues.ids)
    assert int(sets.dialogues.branches.max()) > int(without.dialogues.branches.max())
