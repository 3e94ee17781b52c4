"""Masks from pairs: planted edits found where they are, nothing found where nothing was edited."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from data_tools.mask_from_pair import command, pair_by_stem, run_batch
from fakeexplain.errors import SettingsError
from fakeexplain.imaging.pair_mask import mask_from_pair, mask_from_sources
from fakeexplain.imaging.source import SourceImage
from tests.pictures import encode, jpeg_round_trip, photograph


def _edited() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(original, edited, truth): an ellipse of another photograph in the astronaut's."""
    rgb = photograph("astronaut")
    donor = cv2.resize(photograph("coffee"), (512, 512))
    region = cv2.ellipse(np.zeros((512, 512), np.uint8), (330, 200), (70, 50), 20, 0, 360, 1, -1).astype(bool)
    edited = rgb.copy()
    edited[region] = donor[region]
    truth = region & (cv2.absdiff(edited, rgb).max(axis=2) > 2)
    return rgb, edited, truth


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def test_lossless_pair_is_all_but_exact() -> None:
    original, edited, truth = _edited()
    found = mask_from_pair(original, edited)
    assert _iou(found.mask, truth) > 0.97
    assert found.quality > 0.7
    assert found.reasons == ()
    assert found.difference_map.dtype == np.float32
    assert 0 <= found.difference_map.min() <= found.difference_map.max() <= 1


def test_after_jpeg_75() -> None:
    original, edited, truth = _edited()
    found = mask_from_pair(original, jpeg_round_trip(edited, 75))
    assert _iou(found.mask, truth) > 0.85
    assert found.quality > 0.5


def test_the_file_itself_tells_after_jpeg_75() -> None:
    original, edited, truth = _edited()
    sources = SourceImage.from_bytes(encode(original)), SourceImage.from_bytes(encode(edited, "JPEG", quality=75))
    found = mask_from_sources(*sources)
    assert found.exact
    assert _iou(found.mask, truth) > 0.95
    assert found.quality > 0.9


def test_where_the_original_was_saved_at_75_too() -> None:
    """Most blocks come back identical there: a noise estimated from the pair is nothing, and everything stands out."""
    saved = jpeg_round_trip(photograph("astronaut"), 75)
    region = cv2.ellipse(np.zeros((512, 512), np.uint8), (230, 150), (12, 9), 20, 0, 360, 1, -1).astype(bool)
    edited = saved.copy()
    edited[region] = np.clip(edited[region].astype(int) + 14, 0, 255)
    source = SourceImage.from_bytes(encode(edited, "JPEG", quality=75))
    found = mask_from_sources(SourceImage.from_bytes(encode(saved)), source)
    assert found.exact
    assert _iou(found.mask, region) > 0.9
    assert _iou(mask_from_pair(saved, source.rgb).mask, region) < 0.7, "the noise road would do as well"


def test_a_crop_is_compared_in_the_blocks_of_the_crop() -> None:
    original, edited, truth = _edited()
    cut = (slice(13, 490), slice(21, 500))
    source = SourceImage.from_bytes(encode(np.ascontiguousarray(edited[cut]), "JPEG", quality=80))
    found = mask_from_sources(SourceImage.from_bytes(encode(original)), source)
    assert found.exact
    assert _iou(found.mask, truth[cut]) > 0.9


def test_another_save_of_the_original_is_judged_by_noise() -> None:
    original, edited, truth = _edited()
    other = SourceImage.from_bytes(encode(original, "JPEG", quality=92))
    found = mask_from_sources(other, SourceImage.from_bytes(encode(edited, "JPEG", quality=75)))
    assert not found.exact
    assert _iou(found.mask, truth) > 0.8


def test_after_resize_and_jpeg() -> None:
    original, edited, truth = _edited()
    small = jpeg_round_trip(cv2.resize(edited, (502, 502), interpolation=cv2.INTER_CUBIC), 90)
    found = mask_from_pair(original, small)
    expected = cv2.resize(truth.astype(np.float32), (502, 502)) > 0.5
    assert found.mask.shape == (502, 502)
    assert _iou(found.mask, expected) > 0.85


def test_after_a_global_tone_change() -> None:
    original, edited, truth = _edited()
    toned = np.clip(255 * (edited / 255.0) ** 0.75, 0, 255).round().astype(np.uint8)
    found = mask_from_pair(original, jpeg_round_trip(toned, 90))
    assert _iou(found.mask, truth) > 0.7


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket"])
def test_nothing_edited_means_next_to_nothing_found(name: str) -> None:
    rgb = np.ascontiguousarray(photograph(name)[:280, :400])
    for other in (jpeg_round_trip(rgb, 75), rgb.copy()):
        found = mask_from_pair(rgb, other)
        assert found.mask.mean() < 0.002
        assert found.quality < 0.5
        assert found.reasons


def test_other_photograph_is_refused() -> None:
    found = mask_from_pair(photograph("astronaut"), photograph("chelsea"))
    assert not found.mask.any()
    assert found.quality == 0.0
    assert found.reasons[0].startswith("registration failed")


def test_a_change_of_everything_is_not_trusted() -> None:
    rgb = np.ascontiguousarray(photograph("astronaut")[:256, :256])
    noise = np.random.default_rng(0).normal(0, 60, rgb.shape)
    found = mask_from_pair(rgb, np.clip(rgb + noise, 0, 255).astype(np.uint8))
    assert found.quality < 0.5
    assert found.reasons


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (40, 40)])
def test_never_breaks(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    second = np.clip(first.astype(int) + 3, 0, 255).astype(np.uint8)
    for other in (first, second, np.zeros_like(first), np.zeros((5, 7, 3), np.uint8)):
        found = mask_from_pair(first, other)
        assert found.mask.shape == other.shape[:2]
        assert 0.0 <= found.quality <= 1.0


def _write(path: Path, rgb: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path)


def _folders(tmp_path: Path) -> tuple[Path, Path]:
    original, edited, _ = _edited()
    _write(tmp_path / "o" / "one.png", original[:300, 200:])
    _write(tmp_path / "e" / "one.png", edited[:300, 200:])
    _write(tmp_path / "o" / "alone.png", original[:50, :50])
    (tmp_path / "o" / "broken.png").write_bytes(b"nothing")
    _write(tmp_path / "e" / "broken.png", edited[:50, :50])
    return tmp_path / "o", tmp_path / "e"


def test_batch_names_what_it_cannot_compare_and_resumes(tmp_path: Path) -> None:
    originals, edited = _folders(tmp_path)
    out = tmp_path / "out"
    rows, problems = run_batch(originals, edited, out, quiet=True)
    assert [row["stem"] for row in rows] == ["broken", "one"]
    assert rows[0]["error"]
    assert not rows[1]["error"]
    assert len(problems) == 1
    assert problems[0].startswith("alone:")
    with (out / "table.csv").open() as file:
        assert float(list(csv.DictReader(file))[1]["quality"]) == rows[1]["quality"]
    with Image.open(out / "masks" / "one.png") as image:
        assert np.asarray(image).any()
    with Image.open(out / "contact_sheet.png") as image:
        assert image.width > 800
    written = (out / "masks" / "one.png").stat().st_mtime_ns
    again, _ = run_batch(originals, edited, out, quiet=True)
    assert again[1] == rows[1]
    assert (out / "masks" / "one.png").stat().st_mtime_ns == written
    _write(edited / "one.png", photograph("astronaut")[:300, 200:])
    changed, _ = run_batch(originals, edited, out, quiet=True)
    assert changed[1]["quality"] == 0.0


def test_batch_counts_pictures_of_different_scenes_as_failed(tmp_path: Path) -> None:
    _write(tmp_path / "o" / "a.png", photograph("astronaut")[:300, :300])
    _write(tmp_path / "e" / "a.png", photograph("chelsea")[:300, :300])
    rows, _ = run_batch(tmp_path / "o", tmp_path / "e", tmp_path / "out", quiet=True)
    assert rows[0]["error"].startswith("registration failed")
    assert not (tmp_path / "out" / "masks" / "a.png").exists()


def test_pairs_need_one_picture_on_each_side(tmp_path: Path) -> None:
    originals, edited = _folders(tmp_path)
    _write(edited / "one.jpg", photograph("rocket")[:40, :40])
    pairs, problems = pair_by_stem(originals, edited)
    assert [pair[0] for pair in pairs] == ["broken"]
    assert any("2 pictures of this stem" in line for line in problems)
    with pytest.raises(SettingsError, match="no such folder"):
        pair_by_stem(tmp_path / "missing", edited)


def test_command_line(tmp_path: Path) -> None:
    import typer

    app = typer.Typer()
    app.command()(command)
    runner = CliRunner()
    originals, edited = _folders(tmp_path)
    one = [str(originals / "one.png"), str(edited / "one.png")]
    result = runner.invoke(app, [*one, "--out", str(tmp_path / "mask.png")])
    assert result.exit_code == 0
    assert "quality" in result.output
    with Image.open(tmp_path / "mask.png") as image:
        assert image.size == (312, 300)
    assert runner.invoke(app, one).exit_code == 2
    _write(tmp_path / "other.png", photograph("chelsea"))
    refused = tmp_path / "refused.png"
    result = runner.invoke(app, [one[0], str(tmp_path / "other.png"), "--out", str(refused)])
    assert result.exit_code == 1
    assert not refused.exists(), "a mask of nothing would pass for an answer"
    assert runner.invoke(app, [*one, "--out", str(originals / "one.png" / "x.png")]).exit_code == 3
    assert runner.invoke(app, [str(originals / "broken.png"), one[1], "--out", str(tmp_path / "m.png")]).exit_code == 1
    folders = ["--originals", str(originals), "--edited", str(edited), "--out", str(tmp_path / "batch")]
    assert runner.invoke(app, folders).exit_code == 1
