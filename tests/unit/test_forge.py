"""The forge: exact masks, nothing touched outside them, the promised traces, the promised shares, the same again."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter
from skimage import data
from typer.testing import CliRunner

from data_tools.forge import blending, edits, operations, photos, regions, writer
from data_tools.forge.__main__ import app
from data_tools.forge.config import ForgeConfig
from data_tools.forge.forge import Forge
from data_tools.forge.planted import KINDS, plant
from fakeexplain.errors import SettingsError
from fakeexplain.imaging import degrade
from fakeexplain.imaging.jpeg import block_dct, scaled_table
from fakeexplain.imaging.source import SourceImage


@pytest.fixture(scope="module")
def host() -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[60:316, 100:420])


@pytest.fixture(scope="module")
def mask(host) -> np.ndarray:
    return regions.blob_region(*host.shape[:2], 2500.0, np.random.default_rng(3))


@pytest.fixture(scope="module")
def photos_dir(tmp_path_factory):
    root = tmp_path_factory.mktemp("forge")
    folder, labels = root / "photos", root / "object_masks"
    folder.mkdir()
    labels.mkdir()
    pictures = {
        "astronaut": data.astronaut(),
        "chelsea": data.chelsea(),
        "coffee": data.coffee(),
        "rocket_0": data.rocket()[:, :400],
        "rocket_1": data.rocket()[:, 240:],
        "metadata_extractor_camera": data.astronaut()[::-1],
    }
    for name, rgb in pictures.items():
        (folder / f"{name}.jpg").write_bytes(degrade.encode_jpeg(np.ascontiguousarray(rgb), 90))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 not a picture")
    cup = np.zeros((400, 600), np.uint8)
    cup[20:280, 180:400] = 47
    Image.fromarray(cup).save(labels / "coffee.png")
    return folder


# --- regions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [s for s in regions.SHAPES if s != "object"])
def test_region_has_about_the_asked_area_and_repeats_itself(host, shape):
    ratios = []
    for seed in range(24):
        wanted = regions.sample_area(np.random.default_rng(seed), 0.005, 0.3)
        drawn = regions.draw_region(shape, host, wanted, np.random.default_rng(seed), inside=True)
        again = regions.draw_region(shape, host, wanted, np.random.default_rng(seed), inside=True)
        assert drawn.dtype == bool
        assert drawn.shape == host.shape[:2]
        assert np.array_equal(drawn, again)
        assert regions.MINIMUM_PIXELS <= drawn.sum() < drawn.size
        ratios.append(drawn.mean() / wanted)
    assert 0.6 < np.median(ratios) < 1.6
    assert max(ratios) <= 2.6


def test_area_is_log_uniform():
    rng = np.random.default_rng(0)
    logs = np.log([regions.sample_area(rng, 0.001, 0.4) for _ in range(4000)])
    histogram, _ = np.histogram(logs, bins=5, range=(np.log(0.001), np.log(0.4)))
    assert histogram.min() > 700
    assert histogram.sum() == 4000


def test_segment_follows_edges():
    rgb = np.zeros((160, 160, 3), np.uint8)
    rgb[:, 83:] = 200
    best = 0.0
    for seed in range(10):
        segment = regions.segment_region(rgb, 4000.0, np.random.default_rng(seed))
        best = max(
            best, min(segment[:, :80].mean() * 80, segment[:, 86:].mean() * 74) / max(segment.mean() * 160, 1e-9)
        )
    assert best < 0.2  # no basin has more than a fifth of itself on the other side of the edge


def test_object_region_is_one_connected_object():
    labels = np.zeros((60, 80), np.uint8)
    labels[5:25, 5:25], labels[30:50, 40:70], labels[50:53, 2:5] = 3, 3, 9
    found = {regions.object_region(labels, np.random.default_rng(s)).sum() for s in range(20)}
    assert found == {400, 600}
    labels[:25, 5:25] = 3  # now the frame cuts the first one off
    assert {regions.object_region(labels, np.random.default_rng(s), uncut=True).sum() for s in range(20)} == {600}
    assert regions.object_region(np.zeros((9, 9), np.uint8), np.random.default_rng(0)) is None
    with pytest.raises(ValueError, match="object"):
        regions.draw_region("object", np.zeros((64, 64, 3), np.uint8), 0.1, np.random.default_rng(0))


# --- operations -----------------------------------------------------------------------------------------------------


def _all_edits(host, mask):
    rng = np.random.default_rng(1)
    other = np.ascontiguousarray(host[::-1])
    for feather in (0.0, 3.0):
        yield operations.splice(host, mask, other, feather=feather)
        yield operations.copy_move(host, mask, rng, feather=feather)
        yield operations.copy_move(host, mask, rng, angle=33.0, scale=1.2, mirror=True, feather=feather)
        yield operations.resample(host, mask, scale=1.15, angle=4.0, feather=feather)
        yield operations.denoise(host, mask, feather=feather)
        yield operations.jpeg_ghost(host, mask, 60, feather=feather)
        yield operations.foreign_grid(host, mask, 70, (3, 5), feather=feather)
        for step in (degrade.Blur(sigma=2.0), degrade.Median(), degrade.Sharpen(amount=1.0), degrade.Tone(gamma=1.3)):
            yield operations.process(host, mask, step, feather=feather)
        yield operations.process(host, mask, degrade.Noise(sigma=4.0, seed=2), feather=feather)
    yield operations.remove_by_diffusion(host, mask, "telea")
    yield operations.remove_by_diffusion(host, mask, "ns", side=24)
    yield operations.remove_by_exemplar(host, mask, rng)
    yield operations.remove_by_patchmatch(host, mask, rng)


@pytest.mark.parametrize("seed", range(4))
def test_no_edit_touches_a_pixel_outside_its_mask(host, seed):
    rng = np.random.default_rng(seed)
    region = regions.draw_region("blob" if seed % 2 else "polygon", host, 0.05, rng, inside=seed < 2)
    before = host.copy()
    for edit in _all_edits(host, region):
        assert edit is not None
        assert edit.image.shape == host.shape
        assert np.array_equal(edit.image[~edit.mask], host[~edit.mask]), edit.operation
        assert edits.changes_enough(host, edit), edit.operation
        json.dumps(edit.parameters)
    assert np.array_equal(host, before)


def test_feather_is_positive_exactly_on_the_mask(mask):
    for feather in (0.0, 0.5, 5.0):
        alpha = blending.alpha_of(mask, feather)
        assert np.array_equal(alpha > 0, mask)
        assert alpha.max() <= 1.0
    assert blending.alpha_of(mask, 5.0)[mask].min() < 0.3


def test_exact_copy_is_the_shifted_source(host, mask):
    edit = operations.copy_move(host, mask, np.random.default_rng(5))
    dx, dy = edit.parameters["dx"], edit.parameters["dy"]
    rows, columns = np.nonzero(edit.mask)
    assert np.array_equal(edit.image[rows, columns], host[rows - dy, columns - dx])
    assert edit.donor_mask[rows - dy, columns - dx].mean() > 0.99
    assert not (edit.donor_mask & edit.mask).any()


def test_scaled_copy_has_the_scaled_area(host, mask):
    edit = operations.copy_move(host, mask, np.random.default_rng(5), scale=0.7, angle=20.0)
    assert edit.mask.sum() == pytest.approx(0.49 * mask.sum(), rel=0.1)
    assert edit.donor_mask.sum() == pytest.approx(mask.sum(), rel=0.05)


def test_copy_onto_itself_is_refused(host, mask):
    assert operations.copy_move(host, mask, np.random.default_rng(0), shift=(2, 1)) is None


@pytest.mark.parametrize("method", ["telea", "ns", "exemplar", "patchmatch"])
def test_removal_takes_the_object_away(method):
    rng = np.random.default_rng(0)
    scene = np.clip(np.linspace(90, 150, 200)[None, :, None] + rng.normal(0, 3, (160, 200, 3)), 0, 255).astype(np.uint8)
    hole = np.zeros((160, 200), bool)
    hole[60:100, 80:125] = True
    marked = scene.copy()
    marked[hole] = (250, 20, 20)
    if method == "exemplar":
        edit = operations.remove_by_exemplar(marked, hole, rng)
        assert edit.donor_mask.sum() == hole.sum()
    elif method == "patchmatch":
        edit = operations.remove_by_patchmatch(marked, hole, rng)
    else:
        edit = operations.remove_by_diffusion(marked, hole, method)
    assert np.abs(edit.image[hole].astype(float) - scene[hole]).mean() < 8


def test_exemplar_refuses_a_hole_without_surroundings(host):
    assert operations.remove_by_exemplar(host, np.ones(host.shape[:2], bool), np.random.default_rng(0)) is None


def test_wrong_uses_are_refused(host, mask):
    with pytest.raises(ValueError, match="no foreign grid"):
        operations.foreign_grid(host, mask, 70, (0, 0))
    with pytest.raises(ValueError, match="geometry"):
        operations.process(host, mask, degrade.Resize(width=9, height=9))


# --- planted positives ----------------------------------------------------------------------------------------------


def _comb(rgb: np.ndarray, inside: np.ndarray, quality: int, offset: tuple[int, int]) -> float:
    """Mean distance of coefficients to multiples of the table, in steps, over blocks fully `inside`: 0.25 if random."""
    x, y = offset
    luma = (rgb.astype(np.float64) @ [0.299, 0.587, 0.114] - 128.0)[y:, x:]
    cells = inside[y:, x:][: luma.shape[0] // 8 * 8, : luma.shape[1] // 8 * 8]
    full = cells.reshape(luma.shape[0] // 8, 8, luma.shape[1] // 8, 8).all(axis=(1, 3))
    steps = (block_dct(luma)[full][:, :3, :3] / scaled_table(quality)[:3, :3])[:, 1:, :]
    return float(np.abs(steps - np.rint(steps))[np.abs(steps) > 0.6].mean())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quality", [None, 92])
def test_plant_makes_a_file_of_the_asked_kind(kind, quality):
    rgb = data.coffee()
    made = plant(kind, rgb, size=64, rng=np.random.default_rng(8), quality=quality)
    again = plant(kind, rgb, size=64, rng=np.random.default_rng(8), quality=quality)
    assert made.image_bytes == again.image_bytes
    source = SourceImage.from_bytes(made.image_bytes)
    assert source.format == ("PNG" if quality is None and kind != "double_jpeg" else "JPEG")
    if quality is not None:
        assert source.jpeg.quality == quality
    assert source.rgb.shape == rgb.shape
    assert 0.5 * 64**2 < made.mask.sum() < 1.8 * 64**2
    assert (made.donor_mask is not None) == kind.startswith("copy_move")
    json.dumps(made.history)


def test_planted_foreign_grid_lies_where_the_history_says():
    made = plant("foreign_grid", data.coffee(), size=128, rng=np.random.default_rng(4))
    rgb = SourceImage.from_bytes(made.image_bytes).rgb
    donor = next(h for h in made.history if h["on"] == "donor" and h.get("op") == "jpeg")
    first = next(h for h in made.history if h["on"] == "host")
    assert tuple(donor["offset"]) != (0, 0)
    assert _comb(rgb, made.mask, donor["quality"], tuple(donor["offset"])) < 0.12
    assert _comb(rgb, made.mask, first["quality"], (0, 0)) > 0.18
    assert _comb(rgb, ~made.mask, first["quality"], (0, 0)) < 0.12


def test_planted_double_jpeg_is_double_outside_and_single_inside():
    made = plant("double_jpeg", data.coffee(), size=128, rng=np.random.default_rng(2), quality=98)
    rgb = SourceImage.from_bytes(made.image_bytes).rgb
    first = next(h for h in made.history if h["on"] == "host")
    assert 55 <= first["quality"] <= 80
    assert _comb(rgb, ~made.mask, first["quality"], (0, 0)) < 0.12
    assert _comb(rgb, made.mask, first["quality"], (0, 0)) > 0.18


def test_planted_noise_has_its_sigma():
    rgb = np.full((300, 300, 3), 128, np.uint8)
    made = plant("noise", rgb, size=96, rng=np.random.default_rng(2), sigma=3.0)
    found = SourceImage.from_bytes(made.image_bytes).rgb
    assert found[made.mask].astype(float).std() == pytest.approx(3.0, rel=0.05)
    assert np.array_equal(found[~made.mask], rgb[~made.mask])


def test_plant_refuses_what_it_cannot_do():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="unknown kind"):
        plant("magic", data.coffee(), size=64, rng=rng)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="does not fit"):
        plant("noise", data.coffee(), size=300, rng=rng)
    with pytest.raises(ValueError, match="above 82"):
        plant("double_jpeg", data.coffee(), size=64, rng=rng, quality=75)


# --- the forge ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def samples(photos_dir):
    forge = Forge(photos_dir, seed=7, size=128)
    return [forge.sample(index) for index in range(240)]


def test_samples_are_well_formed(samples):
    for sample in samples:
        assert sample.image.shape == (128, 128, 3)
        assert sample.mask.shape == (128, 128)
        assert bool(sample.mask.any()) == bool(sample.label) == bool(sample.operations)
        assert len(sample.edit_masks) == len(sample.operations)
        assert sample.granularity in (("once", "several") if sample.label else ("untouched", "global"))
        assert (sample.jpeg is not None) == (sample.file_format == "JPEG")
        assert "broken.jpg" not in (sample.photo, *sample.donors)
        json.dumps(sample.history)
        if not sample.label:
            assert sample.donor_mask is None


def test_image_is_what_the_file_decodes_to(samples):
    for sample in samples[:60]:
        assert np.array_equal(SourceImage.from_bytes(sample.file_bytes()).rgb, sample.image)


def test_shares_are_as_configured(samples):
    granularity = Counter(s.granularity for s in samples)
    authentic = granularity["untouched"] + granularity["global"]
    assert 0.35 < authentic / len(samples) < 0.55
    assert min(granularity.values()) > 0.03 * len(samples)
    same = set(ForgeConfig().same_content)
    forged = [s for s in samples if s.label]
    assert sum(set(s.operations) <= same for s in forged) > 0.25 * len(forged)
    assert {name for s in forged for name in s.operations} >= {"splice", "copy_move", "removal_patchmatch", "blur"}


def test_finish_does_not_give_the_label_away(samples):
    """Formats and finishes are drawn before the edits, so both labels have them in like shares."""
    share = {label: np.mean([s.file_format == "JPEG" for s in samples if s.label == label]) for label in (0, 1)}
    assert abs(share[0] - share[1]) < 0.2


def test_camera_originals_are_never_shrunk_before_the_edit(samples):
    checked = 0
    for sample in samples:
        if sample.photo.startswith("metadata_extractor"):
            checked += 1
            assert not any(h["on"] == "host" and h.get("op") == "resize" for h in sample.history)
    assert checked > 5


def test_donor_is_another_photograph(samples):
    spliced = [s for s in samples if s.donors]
    assert spliced
    for sample in spliced:
        own = photos.group_of(sample.photo.removesuffix(".jpg"))
        assert own not in {photos.group_of(name.removesuffix(".jpg")) for name in sample.donors}


def test_samples_repeat_bit_for_bit_and_differ_by_seed(photos_dir, samples):
    again, other = Forge(photos_dir, seed=7, size=128), Forge(photos_dir, seed=8, size=128)
    for index in (3, 200, 51, 3):
        sample = again.sample(index)
        assert sample.file_bytes() == samples[index].file_bytes()
        assert np.array_equal(sample.mask, samples[index].mask)
        assert sample.history == samples[index].history
    assert any(other.sample(i).file_bytes() != samples[i].file_bytes() for i in range(3))


def test_only_the_edit_differs_from_an_unedited_run(photos_dir):
    """With no finish and no processing the host outside the mask can be rebuilt from the history."""
    config = ForgeConfig(authentic_share=0, several_share=0, global_share=0, finishes={"none": 1.0})
    forge = Forge(photos_dir, seed=1, size=96, config=config)
    by_name = {p.path.name: p for p in forge.photos}
    for index in range(12):
        sample = forge.sample(index)
        steps = [{k: v for k, v in h.items() if k != "on"} for h in sample.history if h["on"] == "host" and "op" in h]
        steps += [{k: v for k, v in h.items() if k != "on"} for h in sample.history if h["on"] == "whole" and "op" in h]
        rebuilt = degrade.apply_steps(by_name[sample.photo].read(), degrade.chain_from_json(steps))
        assert np.array_equal(rebuilt[~sample.mask], sample.image[~sample.mask])
        assert not np.array_equal(rebuilt[sample.mask], sample.image[sample.mask])


def test_split_parts_photographs_and_keeps_crops_together(photos_dir):
    sides = {
        side: {p.group for p in photos.list_photos(photos_dir, 64, ForgeConfig(split=side, validation_share=0.5))}
        for side in ("training", "validation")
    }
    everything = {p.group for p in photos.list_photos(photos_dir, 64, ForgeConfig())}
    assert not sides["training"] & sides["validation"]
    assert sides["training"] | sides["validation"] == everything
    assert "rocket" in everything


def test_settings_are_checked(photos_dir, tmp_path):
    with pytest.raises(ValidationError):
        ForgeConfig(authentic_shares=0.5)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="area_low"):
        ForgeConfig(area_low=0.3, area_high=0.1)
    with pytest.raises(ValidationError, match="weights"):
        ForgeConfig(finishes={"jpeg": 0.0})
    with pytest.raises(SettingsError, match="no such folder"):
        Forge(tmp_path / "nowhere")
    with pytest.raises(SettingsError, match="no usable"):
        Forge(tmp_path)
    with pytest.raises(SettingsError, match="no usable"):
        Forge(photos_dir, size=600, config=ForgeConfig(allow_smaller=False))


# --- writing --------------------------------------------------------------------------------------------------------


def test_interrupted_run_ends_as_an_uninterrupted_one(photos_dir, tmp_path):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    rows = writer.write(photos_dir, whole, count=14, size=96, seed=2, quiet=True)
    writer.write(photos_dir, parted, count=6, size=96, seed=2, quiet=True)
    manifest = parted / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-20])  # stopped in the middle of a line
    writer.write(photos_dir, parted, count=14, size=96, seed=2, quiet=True)
    files = {p.relative_to(whole) for p in whole.rglob("*") if p.is_file()}
    assert files == {p.relative_to(parted) for p in parted.rglob("*") if p.is_file()}
    assert all((whole / f).read_bytes() == (parted / f).read_bytes() for f in files)
    for row in rows:
        written = np.array(Image.open(whole / row["mask"]))
        assert written.mean() == pytest.approx(row["forged_fraction"], abs=1e-5)
        assert (whole / row["image"]).is_file()
    with pytest.raises(SettingsError, match="other settings"):
        writer.write(photos_dir, whole, count=14, size=96, seed=3, quiet=True)


def test_command_line(photos_dir, tmp_path):
    run = CliRunner()
    arguments = ["write", "--photos", str(photos_dir), "--out", str(tmp_path / "set"), "--count", "4", "--size", "96"]
    assert run.invoke(app, arguments).exit_code == 0
    assert len(writer.read_manifest(tmp_path / "set" / "manifest.jsonl")) == 4
    assert "4 samples" in (tmp_path / "set" / "README.md").read_text()
    bad = tmp_path / "bad.json"
    bad.write_text('{"authentic_shares": 0.5}')
    assert run.invoke(app, [*arguments, "--config", str(bad)]).exit_code == 2
    assert run.invoke(app, ["write", "--photos", "/nowhere", "--out", str(tmp_path), "--count", "1"]).exit_code == 2


# --- the bundled pictures -------------------------------------------------------------------------------------------

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(("stem", "quality"), [("copy_move", 92), ("splice", 95), ("authentic", 92)])
def test_bundled_example_has_its_mask_and_history(stem, quality):
    source = SourceImage.from_path(EXAMPLES / f"{stem}.jpg")
    mask_path = EXAMPLES / "masks" / f"{stem}.png"
    assert source.jpeg.quality == quality
    assert mask_path.exists() == (stem != "authentic")
    if mask_path.exists():
        marked = np.array(Image.open(mask_path).convert("L")) > 127
        assert marked.shape == source.rgb.shape[:2]
        assert marked.any()
    assert sum(path.stat().st_size for path in EXAMPLES.rglob("*") if path.is_file()) < 1_000_000


def test_bundled_copy_is_the_shifted_source():
    source = SourceImage.from_path(EXAMPLES / "copy_move.jpg")
    copied = np.array(Image.open(EXAMPLES / "masks" / "copy_move.png").convert("L")) > 127
    # Fine structure only: the sky's gradient resembles itself everywhere.
    fine = source.luma - gaussian_filter(source.luma, 3.0)
    shifted, elsewhere = np.roll(fine, 73, axis=1), np.roll(fine, 40, axis=1)
    assert np.corrcoef(fine[copied], shifted[copied])[0, 1] > 0.9
    assert np.corrcoef(fine[copied], elsewhere[copied])[0, 1] < 0.3
