"""The loop on tiny networks: exact resume, frozen parts, two processes like one, losses, weights, settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from data_tools.forge.forge import Forge
from fakeexplain.errors import SettingsError
from fakeexplain.models.forgery_expert import ForgeryLocalizationExpert
from tests.pictures import PHOTOGRAPHS, photograph
from tests.unit.tiny_models import expert, expert_config
from training.checkpoints import AveragedWeights, list_checkpoints, load_weights, moments_to_parameters
from training.config import TrainingConfig, load_training_config
from training.data import StepSampler, held_out_forge, sample_tensors, turned, validation_forges
from training.judging import moved
from training.loop import choose_parameters, read_log, train
from training.losses import dice, history_contrast
from training.stages import expert_losses


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for name in PHOTOGRAPHS:
        Image.fromarray(photograph(name)).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.json"
    path.write_text(expert_config().model_dump_json())
    return path


def settings(photos: Path, model_file: Path, out: Path, **changes: object) -> TrainingConfig:
    values: dict[str, object] = {
        "task": "expert",
        "model": model_file,
        "photos": photos,
        "output_dir": out,
        "forge": {"validation_share": 0.0},
        "phases": [
            {"steps": 2, "size": 64, "per_device_train_batch_size": 2},
            {"steps": 2, "size": 80, "per_device_train_batch_size": 2, "forge": {"authentic_share": 0.0}},
        ],
        "max_steps": 4,
        "warmup_steps": 1,
        "decay_steps": 1,
        "mixed_precision": "no",
        "dataloader_num_workers": 0,
        "eval_steps": 0,
        "save_steps": 2,
        "logging_steps": 1,
        "train": ["local", "trunk", "prompt", "scales", "decoder", "mask_head", "edge_head", "vision.clip.visual"],
    }
    return TrainingConfig.model_validate({**values, **changes})


@pytest.fixture(scope="module")
def whole_run(photos, model_file, tmp_path_factory):
    """Four steps in one go."""
    out = tmp_path_factory.mktemp("whole")
    train(settings(photos, model_file, out), cpu=True)
    return out


def test_two_steps_and_a_resume_are_four_steps_bit_for_bit(whole_run, photos, model_file, tmp_path):
    class Killed(Exception):
        pass

    import training.loop as loop

    original = loop._Run._save

    def save_and_die(self, step):
        original(self, step)
        raise Killed

    loop._Run._save = save_and_die
    try:
        with pytest.raises(Killed):
            train(settings(photos, model_file, tmp_path), cpu=True)
    finally:
        loop._Run._save = original
    assert [p.name for p in list_checkpoints(tmp_path)] == ["checkpoint-2"]
    state = train(settings(photos, model_file, tmp_path), cpu=True)
    assert state["step"] == 4
    for name in ("model", "ema", "optimizer"):
        once = load_file(whole_run / "checkpoint-4" / f"{name}.safetensors")
        twice = load_file(tmp_path / "checkpoint-4" / f"{name}.safetensors")
        assert once.keys() == twice.keys()
        assert all(torch.equal(once[k], twice[k]) for k in once), name


def test_only_the_named_parameters_move(whole_run, photos, model_file, tmp_path):
    torch.manual_seed(0)
    before = ForgeryLocalizationExpert(expert_config()).state_dict()
    after = load_file(whole_run / "checkpoint-4" / "model.safetensors")
    moved = {n.split(".")[0] for n in before if not torch.equal(before[n], after[n])}
    assert {
        "local",
        "trunk",
        "prompt",
        "scales",
        "decoder",
        "decoder_norm",
        "mask_head",
        "edge_head",
        "vision",
    } == moved
    assert all(
        torch.equal(before[n], after[n]) for n in before if n.startswith(("vision.clip.text", "vision.clip.token"))
    )


def test_the_log_has_every_step_and_its_losses(whole_run):
    records = read_log(whole_run)
    assert [r["step"] for r in records] == [1, 2, 3, 4]
    assert all(np.isfinite(r["loss"]) for r in records)
    assert records[0]["learning_rate"] == pytest.approx(1.5e-3)
    assert json.loads((whole_run / "training.json").read_text())["max_steps"] == 4
    assert (whole_run / "final.safetensors").is_file()


def test_two_processes_have_the_losses_of_one(photos, model_file, tmp_path):
    """gloo on the CPU; each process takes half of the very same global batch."""
    changes = {
        "max_steps": 2,
        "phases": [{"steps": 2, "size": 64, "per_device_train_batch_size": 4}],
        "decay_steps": 0,
        "save_steps": 100,
    }
    train(settings(photos, model_file, tmp_path / "one", **changes), cpu=True)
    config = settings(photos, model_file, tmp_path / "two", **changes).model_dump(mode="json")
    config["phases"][0]["per_device_train_batch_size"] = 2
    (tmp_path / "two.yaml").write_text(json.dumps(config))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "training.run", "--cpu", "--config", str(tmp_path / "two.yaml")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    finished = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert finished.returncode == 0, finished.stderr[-2000:]
    one, two = read_log(tmp_path / "one"), read_log(tmp_path / "two")
    for a, b in zip(one, two, strict=True):
        for name in ("loss", "mask", "dice", "edge", "image", "operation", "history"):
            assert a[name] == pytest.approx(b[name], abs=2e-4), name


def test_the_confidence_phase_moves_the_confidence_head_alone(whole_run, photos, model_file, tmp_path):
    changes = {"task": "expert_confidence", "init_from": whole_run / "final.safetensors", "train": ["confidence_head"]}
    train(settings(photos, model_file, tmp_path, **changes), cpu=True)
    before, after = load_file(whole_run / "final.safetensors"), load_file(tmp_path / "final.safetensors")
    assert {n.split(".")[0] for n in before if not torch.equal(before[n], after[n])} == {"confidence_head"}


def test_the_region_phase_adds_a_head_and_moves_nothing_else(whole_run, photos, tmp_path):
    model_file = tmp_path / "model.json"
    model_file.write_text(expert_config(region=8).model_dump_json())
    changes = {"task": "expert_region", "init_from": whole_run / "final.safetensors", "train": ["region_head"]}
    train(settings(photos, model_file, tmp_path / "run", **changes), cpu=True)
    before, after = load_file(whole_run / "final.safetensors"), load_file(tmp_path / "run" / "final.safetensors")
    assert all(torch.equal(before[n], after[n]) for n in before)
    assert {n.split(".")[0] for n in after.keys() - before.keys()} == {"region_head"}
    assert "region" in read_log(tmp_path / "run")[0]


@pytest.mark.parametrize(
    ("task", "part", "figure"),
    [
        ("expert", "mask_head", "seen/f1"),
        ("expert_confidence", "confidence_head", "confidence/auc"),
        ("expert_region", "region_head", "seen/auc"),
    ],
)
def test_every_phase_is_judged_on_held_out_samples(photos, tmp_path, task, part, figure):
    model = tmp_path / "model.json"
    model.write_text(expert_config(region=8).model_dump_json())
    changes = {
        "task": task,
        "train": [part],
        "max_steps": 2,
        "eval_steps": 2,
        "eval_samples": 8,
        "forge": {"validation_share": 0.5},
    }
    state = train(settings(photos, model, tmp_path / "run", **changes), cpu=True)
    (record,) = [r for r in read_log(tmp_path / "run") if "validation" in r]
    assert np.isfinite(record["validation"][figure])
    assert state["best"] == pytest.approx(record["score"], abs=1e-4)
    assert (tmp_path / "run" / "validation.png").is_file()


def test_validation_goes_where_the_network_is():
    model = torch.nn.Linear(2, 2, device="meta")
    (batch,) = moved([{"x": torch.zeros(3, 2)}], model)
    assert batch["x"].device.type == "meta"


def test_moments_follow_their_parameters_and_step_counts_stay():
    parameter = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.AdamW([parameter])
    parameter.grad = torch.ones(2)
    optimizer.step()
    held = optimizer.state[parameter]
    moved_away = torch.nn.Parameter(torch.zeros(2, device="meta"))
    optimizer.state.clear()
    optimizer.state[moved_away] = held
    moments_to_parameters(optimizer)
    assert {k: v.device.type for k, v in held.items()} == {"step": "cpu", "exp_avg": "meta", "exp_avg_sq": "meta"}


@pytest.mark.parametrize("changes", [{"train": ["mask_head"]}, {"ema_decay": 0.0}], ids=["parameters", "average"])
def test_a_checkpoint_of_other_parameters_is_refused(whole_run, photos, model_file, changes):
    wanted = settings(photos, model_file, whole_run, max_steps=6, resume_from_checkpoint="latest", **changes)
    with pytest.raises(SettingsError, match="other parameters were trained there"):
        train(wanted, cpu=True)


def test_the_region_phase_wants_a_region_head(photos, model_file, tmp_path):
    with pytest.raises(SettingsError, match="region is 0"):
        train(settings(photos, model_file, tmp_path, task="expert_region", train=["region_head"]), cpu=True)


def test_the_order_of_samples_is_a_function_of_the_step():
    def seen(first: int, last: int, world: int) -> list[list[int]]:
        parts = [
            list(StepSampler(first, last, batch=2, per_step=8 // world, rank=r, world=world)) for r in range(world)
        ]
        steps = last - first
        per = [len(p) // steps for p in parts]
        return [
            sorted(i for p, n in zip(parts, per, strict=True) for b in p[s * n : s * n + n] for i in b)
            for s in range(steps)
        ]

    assert seen(0, 4, 1) == seen(0, 2, 1) + seen(2, 4, 1)
    assert seen(0, 4, 1) == seen(0, 4, 2) == [list(range(8 * s, 8 * s + 8)) for s in range(4)]


def test_learning_rate_rises_stays_and_falls(photos, model_file, tmp_path):
    config = settings(photos, model_file, tmp_path, max_steps=10, warmup_steps=2, decay_steps=4, learning_rate=1.0)
    rates = [config.learning_rate_at(s) for s in range(10)]
    assert rates == pytest.approx([0.5, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25])


def test_a_turned_sample_is_the_sample_of_the_turned_picture(photos):
    forge = Forge(photos, 1, 64)
    sample = next(s for s in map(forge.sample, range(60)) if s.jpeg is not None and s.image.shape[:2] == (64, 64))
    batch = sample_tensors(sample, 64)
    again = turned(batch, 5)  # mirrored left-right, then rows and columns exchanged
    assert torch.equal(again["rgb"], batch["rgb"].flip(-1).transpose(-1, -2))
    assert torch.equal(again["edits"], batch["edits"].flip(-1).T)
    assert torch.equal(again["tables"].view(8, 8), batch["tables"].view(8, 8).T)
    assert all(torch.equal(turned(batch, 0)[k], batch[k]) for k in batch)


def test_small_samples_are_padded_and_the_padding_is_known(photos):
    forge = Forge(photos, 1, 64)
    sample = forge.sample(0)
    batch = sample_tensors(sample, 96)
    assert batch["rgb"].shape == (3, 96, 96)
    assert int(batch["valid"].sum()) == sample.mask.size
    assert int(batch["forged"].sum()) == int(sample.mask.sum())


def test_validation_shows_what_training_never_does():
    from data_tools.forge.config import ForgeConfig

    trained = held_out_forge(ForgeConfig(), "denoise", "webp")
    assert trained.same_content["denoise"] == trained.finishes["webp"] == 0
    assert trained.split == "training"
    sets = validation_forges(ForgeConfig(), "denoise", "webp")
    assert {k for k, w in sets["operation:denoise"].same_content.items() if w} == {"denoise"}
    assert sets["operation:denoise"].same_content_share == 1.0
    assert {k for k, w in sets["finish:webp"].finishes.items() if w} == {"webp"}
    assert all(s.split == "validation" for s in sets.values())


def test_a_mix_that_never_had_the_held_out_finish_is_validated_on_it_all_the_same():
    """Ablations train on plain JPEG only; their validation drew from weights that were all zero."""
    from data_tools.forge.config import ForgeConfig
    from data_tools.forge.histories import pick

    narrow = ForgeConfig(finishes={"none": 0.6, "jpeg": 0.4})
    finishes = validation_forges(narrow, "denoise", "webp")["finish:webp"].finishes
    assert {pick(finishes, np.random.default_rng(seed)) for seed in range(5)} == {"webp"}


def test_dice_counts_forged_pictures_only_and_is_zero_when_perfect():
    target = torch.zeros(2, 1, 8, 8)
    target[0, :, :4] = 1
    logits = (target - 0.5) * 40
    loss = dice(logits, target, torch.ones_like(target), torch.tensor([1.0, 0.0]))
    assert float(loss.count) == 1
    assert float(loss.total) == pytest.approx(0.0, abs=1e-4)
    assert float(dice(-logits, target, torch.ones_like(target), torch.tensor([1.0, 0.0])).total) > 0.9


def test_history_contrast_falls_when_histories_part():
    edits = torch.zeros(1, 4, 4, dtype=torch.long)
    edits[:, :2] = 1
    apart = torch.zeros(1, 2, 4, 4)
    apart[:, 0, :2], apart[:, 1, 2:] = 1, 1
    mixed = torch.zeros(1, 2, 4, 4)
    mixed[:, 0] = 1
    known = torch.ones(1, 4, 4, dtype=torch.bool)
    low, high = (history_contrast(e, edits, known) for e in (apart, mixed))
    assert low.total / low.count < high.total / high.count - 0.5
    nothing = history_contrast(mixed, torch.zeros_like(edits), known)
    assert float(nothing.count) == 0
    assert float(nothing.total) == 0


def test_authentic_batches_have_finite_losses_and_gradients():
    model = expert(lively=True).train()
    zeros = torch.zeros(2, 1, 64, 64, dtype=torch.uint8)
    batch = {
        "rgb": torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8),
        "forged": zeros,
        "valid": zeros + 1,
        "edits": zeros[:, 0],
        "operation": zeros[:, 0] + 255,
        "tables": torch.ones(2, 64),
        "has_jpeg": torch.tensor([False, True]),
        "label": torch.zeros(2),
    }
    losses = expert_losses(model(batch["rgb"].float(), batch["tables"], batch["has_jpeg"]), batch)
    assert {k for k, v in losses.items() if float(v.count) == 0} == {"dice", "operation", "history"}
    sum(v.total / v.count.clamp(min=1) for v in losses.values()).backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_averaged_weights_swap_and_follow():
    model = torch.nn.Linear(2, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    average = AveragedWeights(model, 0.5)
    with torch.no_grad():
        model.weight.fill_(1.0)
    average.update(model, 1000)
    assert average.values["weight"].allclose(torch.full((1, 2), 0.5))
    average.swap(model)
    assert model.weight.allclose(torch.full((1, 2), 0.5))
    assert average.values["weight"].allclose(torch.ones(1, 2))


def test_weights_that_do_not_fit_are_listed(tmp_path):
    from safetensors.torch import save_file

    model = expert()
    values = {k: v.clone().contiguous() for k, v in model.state_dict().items()}
    del values["mask_head.bias"]
    values["odd.weight"] = torch.zeros(1)
    save_file(values, tmp_path / "model.safetensors")
    with pytest.raises(SettingsError, match=r"(?s)missing mask_head\.bias.*unexpected odd\.weight"):
        load_weights(tmp_path, model)
    parts = {k: v for k, v in values.items() if k.startswith("vision.")}
    save_file(parts, tmp_path / "model.safetensors")
    missing = load_weights(tmp_path, model, partial=True)
    assert missing
    assert not any(n.startswith("vision.") for n in missing)


def test_a_trained_network_made_deeper_begins_with_the_same_outputs(tmp_path):
    from safetensors.torch import save_file

    shallow, deeper = expert(lively=True), expert(seed=1, front_blocks=1, blocks=(1, 3, 2))
    save_file({k: v.contiguous() for k, v in shallow.state_dict().items()}, tmp_path / "model.safetensors")
    with pytest.raises(SettingsError, match=r"missing local\.blocks"):
        load_weights(tmp_path, deeper)
    missing = load_weights(tmp_path, deeper, partial=True)
    assert missing
    assert all(".blocks." in n or n.split(".")[1] in ("quarter", "eighth", "sixteenth") for n in missing)
    picture = torch.rand(1, 3, 64, 64) * 255
    with torch.no_grad():
        before, after = (m(picture, torch.full((1, 64), 4.0), torch.tensor([True])) for m in (shallow, deeper))
    assert before.mask_logits.allclose(after.mask_logits, atol=1e-5)
    assert before.image_logits.allclose(after.image_logits, atol=1e-5)
    values = {k: v for k, v in shallow.state_dict().items() if not k.startswith("mask_head.bias")}
    save_file(values, tmp_path / "model.safetensors")
    with pytest.raises(SettingsError, match=r"missing mask_head\.bias"):  # no block, so it does not begin as nothing
        load_weights(tmp_path, deeper, partial=True)


def test_a_prefix_that_matches_nothing_is_refused(photos, model_file, tmp_path):
    config = settings(photos, model_file, tmp_path, train=["trunck"])
    with pytest.raises(SettingsError, match="trunck"):
        choose_parameters(expert(), config)


def test_settings_name_every_wrong_key_and_take_overrides(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("task: expert\nmodel: m.yaml\noutput_dir: o\nphotos: p\nmax_steps: 10\nlearning_rat: 1\n")
    with pytest.raises(SettingsError, match="learning_rat"):
        load_training_config(path)
    path.write_text("task: expert\nmodel: m.yaml\noutput_dir: o\nphotos: p\nmax_steps: 10\nwarmup_steps: 0\n")
    config = load_training_config(path, ("max_steps=20", "forge.authentic_share=0.3", "loss_weights={edge: 0}"))
    assert (config.max_steps, config.forge.authentic_share, config.loss_weights) == (20, 0.3, {"edge": 0})
    with pytest.raises(SettingsError, match="key=value"):
        load_training_config(path, ("max_steps",))


@pytest.mark.parametrize(
    "name", ["alignment", "expert", "expert_further", "expert_longer", "expert_confidence", "expert_region"]
)
def test_the_shipped_configurations_are_valid(name):
    config = load_training_config(Path("configs/training") / f"{name}.yaml")
    assert config.max_steps >= sum(p.steps for p in config.phases[:-1])
