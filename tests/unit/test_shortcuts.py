"""Shortcut test and contact sheet: planted leaks are found, clean sets pass, traces are not looked at."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from skimage import data
from typer.testing import CliRunner

from data_tools import contact_sheet, shortcuts
from data_tools.forge.regions import blob_region
from data_tools.schema import Record, inline_mask, write_jsonl
from fakeexplain.errors import OutputError, SettingsError, SourceError
from fakeexplain.imaging.degrade import encode_jpeg
from fakeexplain.imaging.jpeg import parse_jpeg
from fakeexplain.report.overlay import COLOURS

RUN = CliRunner()


@pytest.fixture(autouse=True)
def _one_repeat(monkeypatch):
    monkeypatch.setattr(shortcuts, "REPEATS", 1)  # three times as fast


def _crops(count: int, side: int = 64) -> list[tuple[str, np.ndarray]]:
    """(photograph, uint8 crop), the photographs in turn."""
    names = ("astronaut", "coffee", "chelsea", "rocket", "retina", "immunohistochemistry")
    pictures = [(name, getattr(data, name)()) for name in names]
    rng = np.random.default_rng(0)
    crops = []
    for number in range(count):
        name, rgb = pictures[number % len(pictures)]
        y, x = int(rng.integers(rgb.shape[0] - side)), int(rng.integers(rgb.shape[1] - side))
        crops.append((name, np.ascontiguousarray(rgb[y : y + side, x : x + side])))
    return crops


@pytest.fixture(scope="module")
def write_set(tmp_path_factory):
    def write(forged_quality: int, count: int = 120):
        """A data set whose forged pictures differ by an inverted blob and by `forged_quality`, 90 being innocent."""
        root, rng = tmp_path_factory.mktemp("set"), np.random.default_rng(5)
        records = []
        for number, (photograph, rgb) in enumerate(_crops(count)):
            forged = bool(rng.random() < 0.5)
            mask = blob_region(64, 64, 500.0, rng)
            if forged:
                rgb = np.where(mask[..., None], rgb[::-1, ::-1], rgb)
            path = root / f"{number}.jpg"
            path.write_bytes(encode_jpeg(rgb, forged_quality if forged else 90))
            records.append(
                Record(
                    image=path.name,
                    label="forged" if forged else "authentic",
                    mask=inline_mask(mask) if forged else None,
                    operations=("splice",) if forged else (),
                    history=({"on": "region", "shape": "blob"},) if forged else (),
                    forged_fraction=float(mask.mean()) if forged else 0.0,
                    source=f"{photograph}_{number // 12}",
                    format="JPEG",
                )
            )
        write_jsonl(records, root / "manifest.jsonl")
        return root

    return write


@pytest.fixture(scope="module")
def clean(write_set):
    return write_set(90)


# --- features -------------------------------------------------------------------------------------------------------


def _picture(rgb: np.ndarray, quality: int | None = None) -> shortcuts.Picture:
    data_bytes = encode_jpeg(rgb, quality or 90)
    jpeg = parse_jpeg(data_bytes) if quality else None
    return shortcuts.Picture(rgb, jpeg, len(data_bytes), "JPEG" if quality else "PNG", False, "a")


def _named(picture: shortcuts.Picture) -> dict[str, float]:
    values = shortcuts.picture_features(picture)
    assert values.shape == (len(shortcuts.FEATURES),)
    assert np.isfinite(values).all()
    return dict(zip(shortcuts.FEATURES, values, strict=True))


def test_features_say_what_their_names_say():
    rgb = np.zeros((50, 100, 3), np.uint8)
    rgb[:, 50:] = (200, 100, 0)
    found = _named(_picture(rgb, quality=77))
    assert (found["JPEG quality"], found["is JPEG"], found["is PNG"], found["JPEG 4:2:0"]) == (77, 1, 0, 1)
    assert (found["width"], found["height"], found["height mod 8"]) == (100, 50, 2)
    assert (found["red mean"], found["red std"], found["blue mean"]) == (100, 100, 0)
    assert (found["saturation mean"], found["share of black"]) == (0.5, 0.5)
    assert found["luma quantile 95 %"] == pytest.approx(118.5)
    assert found["red-green mean"] == 50
    assert found["bits per pixel"] == pytest.approx(8 * np.exp(found["log file size"]) / 5000)
    assert _named(_picture(rgb))["JPEG quality"] == 0


def test_features_know_nothing_of_where_pixels_stand():
    """Shuffled pixels have lost every trace; whatever changes would be one."""
    rgb = data.chelsea()[:120, :160]
    shuffled = np.random.default_rng(0).permutation(rgb.reshape(-1, 3)).reshape(rgb.shape)
    picture = _picture(rgb, quality=80)
    assert np.allclose(
        shortcuts.picture_features(picture), shortcuts.picture_features(replace(picture, rgb=shuffled)), rtol=1e-4
    )


def test_features_stand_extreme_pictures():
    for rgb in (np.zeros((1, 1, 3), np.uint8), np.full((2, 900, 3), 255, np.uint8)):
        _named(_picture(rgb))


def test_boundary_features_see_a_seam_and_only_a_seam():
    rgb = data.coffee()[:200, :300]
    mask = blob_region(200, 300, 4000.0, np.random.default_rng(1))
    pasted = np.where(mask[..., None], data.chelsea()[:200, :300], rgb)
    names = shortcuts.BOUNDARY_FEATURES
    seam = dict(zip(names, shortcuts.boundary_features(pasted, mask), strict=True))
    none = dict(zip(names, shortcuts.boundary_features(rgb, mask), strict=True))
    assert seam["colour step across"] > none["colour step across"] + 5
    assert seam["gradient, boundary over inside"] > none["gradient, boundary over inside"]
    # Away from the band nothing is seen.
    far = rgb.copy()
    far[:10] = 0
    assert not mask[:30].any()
    assert np.array_equal(shortcuts.boundary_features(far, mask), shortcuts.boundary_features(rgb, mask))


def test_the_frame_is_no_boundary():
    rgb = np.zeros((80, 80, 3), np.uint8)
    assert shortcuts.boundary_features(rgb, np.ones((80, 80), bool)) is None
    assert shortcuts.boundary_features(rgb, np.zeros((80, 80), bool)) is None
    half = np.zeros((80, 80), bool)
    half[:, :40] = True
    rgb[:, :8], rgb[0], rgb[:, 72:] = 255, 255, 255  # along the frame, not along the outline
    assert shortcuts.boundary_features(rgb, half)[6] == pytest.approx(0, abs=1e-3)


# --- probes ---------------------------------------------------------------------------------------------------------


def test_auc_counts_pairs():
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 6, 60).astype(float), rng.random(60) < 0.4
    pairs = np.sign(scores[labels][:, None] - scores[~labels][None, :])
    assert shortcuts.roc_auc(scores, labels) == pytest.approx((pairs.mean() + 1) / 2)
    assert shortcuts.roc_auc(labels.astype(float), labels) == 1.0


def test_interval_counts_photographs_and_not_pictures():
    rng = np.random.default_rng(1)
    scores, labels = rng.normal(size=60), np.arange(60) % 2 == 0
    low, high = shortcuts.bootstrap_interval(scores, labels, np.arange(60))
    assert low < shortcuts.roc_auc(scores, labels) < high
    # Each picture ten times over is no more evidence as long as the copies stay together.
    again = shortcuts.bootstrap_interval(np.repeat(scores, 10), np.repeat(labels, 10), np.repeat(np.arange(60), 10))
    assert again == pytest.approx((low, high), abs=0.03)


def test_probes_find_a_leak_and_nothing_in_noise():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(2)
    labels, groups = rng.random(500) < 0.5, [f"p{i // 3}" for i in range(500)]
    noise = rng.normal(size=(500, 6))
    for probe in shortcuts.run_probes(noise, labels, groups):
        assert probe.low < probe.auc < probe.high
        assert 0.37 < probe.auc < 0.63  # chance has a spread of about 0.04 here
    leaking = noise.copy()
    leaking[:, 4] += 1.5 * labels
    for probe in shortcuts.run_probes(leaking, labels, groups):
        assert probe.auc > 0.75
        assert probe.low > shortcuts.LIMIT
    folded = noise.copy()  # no single threshold shows this one
    folded[:, 4] = np.where(labels, np.sign(noise[:, 4]) * 2, 0.3 * noise[:, 4])
    assert shortcuts.run_probes(folded, labels, groups)[1].auc > 0.95


def test_knowing_the_photograph_does_not_help():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(3)
    photograph = np.repeat(np.arange(100), 5)
    labels = (rng.random(100) < 0.5)[photograph]
    features = rng.normal(size=(100, 6))[photograph] + 0.001 * rng.normal(size=(500, 6))
    for probe in shortcuts.run_probes(features, labels, [str(p) for p in photograph]):
        assert 0.3 < probe.auc < 0.7


def test_too_little_to_judge_is_refused():
    pytest.importorskip("sklearn")
    with pytest.raises(SettingsError, match="raise --samples"):
        shortcuts.run_probes(np.zeros((50, 2)), np.arange(50) < 20, [str(i) for i in range(50)])
    with pytest.raises(SettingsError, match="of 2 photographs"):
        shortcuts.run_probes(np.zeros((100, 2)), np.arange(100) < 50, ["a", "b"] * 50)


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(SettingsError, match=r"fakeexplain\[probe\]"):
        shortcuts.run_probes(np.zeros((100, 2)), np.arange(100) < 50, [str(i) for i in range(100)])


# --- the command ----------------------------------------------------------------------------------------------------


def test_command_passes_a_clean_set_and_fails_a_leaking_one(clean, write_set):
    pytest.importorskip("sklearn")
    # 120 pictures: a chance of 0.5 is measured to about 0.1.
    passed = RUN.invoke(shortcuts.app, ["--dataset", str(clean), "--limit", "0.68"])
    assert passed.exit_code == 0, passed.output
    assert "within the limit" in passed.output
    assert "Boundary-only probes" in passed.output
    leaking = RUN.invoke(shortcuts.app, ["--dataset", str(write_set(70)), "--limit", "0.68"])
    assert leaking.exit_code == 1, leaking.output
    assert "over the limit" in leaking.output
    first = next(line for line in leaking.output.splitlines() if "0.000" in line or "1.000" in line)
    assert "JPEG quality" in first


def test_command_forges_from_photographs(tmp_path):
    pytest.importorskip("sklearn")
    for name in ("astronaut", "coffee", "chelsea", "rocket", "retina"):
        Image.fromarray(getattr(data, name)()[:300, :400]).save(tmp_path / f"{name}.png")
    arguments = ["--photos", str(tmp_path), "--samples", "130", "--size", "64", "--limit", "1"]
    result = RUN.invoke(shortcuts.app, arguments)
    assert result.exit_code == 0, result.output
    assert "5 photographs" in result.output
    assert "splice" in result.output


@pytest.mark.parametrize("arguments", [[], ["--photos", "a", "--dataset", "b"], ["--dataset", "/nowhere"]])
def test_wrong_calls_end_with_code_2(arguments):
    pytest.importorskip("sklearn")
    result = RUN.invoke(shortcuts.app, arguments)
    assert result.exit_code == 2
    assert "error:" in result.output


# --- contact sheet --------------------------------------------------------------------------------------------------


def _shows(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((picture == np.array(colour)).all(axis=2).any())


def test_thumbnail_outlines_what_is_forged_and_nothing_else(clean):
    records = list(shortcuts.read_jsonl(clean / "manifest.jsonl"))
    for record in records[:12]:
        small, fraction = contact_sheet.thumbnail(record, clean, 48)
        assert max(small.shape[:2]) == 48
        assert _shows(small, COLOURS[0]) == (record.label == "forged")
        assert (fraction is not None) == (record.label == "forged")
        if fraction is not None:
            assert fraction == pytest.approx(record.forged_fraction)
    forged = next(r for r in records if r.label == "forged")
    copied = forged.updated(donor_mask=inline_mask(np.eye(64, dtype=bool)))
    assert _shows(contact_sheet.thumbnail(copied, clean, 48)[0], COLOURS[1])
    wrong = forged.updated(mask=inline_mask(np.ones((64, 60), bool)))
    with pytest.raises(SourceError, match="mask of 60x64, picture of 64x64"):
        contact_sheet.thumbnail(wrong, clean, 48)


def test_single_pixels_are_outlined_in_a_small_thumbnail(tmp_path):
    Image.fromarray(data.coffee()).save(tmp_path / "a.png")
    mask = np.zeros((400, 600), bool)
    mask[200:203, 300:303] = True
    record = Record(image="a.png", label="forged", mask=inline_mask(mask))
    assert _shows(contact_sheet.thumbnail(record, tmp_path, 40)[0], COLOURS[0])


def test_caption_names_operation_area_and_file():
    record = Record(image="a", label="forged", operations=("copy_move", "blur"), format="JPEG", jpeg_quality=87)
    assert contact_sheet.caption(record, 0.0312) == ("copy move, blur", "3.1 %  JPEG 87")
    record = Record(image="a", label="authentic", granularity="global", format="PNG")
    assert contact_sheet.caption(record, None) == ("authentic", "global  PNG")


def test_sheet_command_counts_everything_and_draws_some(clean, tmp_path):
    out = tmp_path / "new" / "sheet.png"
    arguments = [str(clean), "--out", str(out), "--count", "10", "--columns", "4", "--side", "60"]
    result = RUN.invoke(contact_sheet.app, arguments)
    assert result.exit_code == 0, result.output
    assert "10 of 120 pictures" in result.output
    with Image.open(out) as sheet:
        assert sheet.size == (4 * 66 + 6, 3 * 96 + 6)
        assert len(np.unique(np.asarray(sheet).reshape(-1, 3), axis=0)) > 1000
    plain = out.stat().st_size
    assert RUN.invoke(contact_sheet.app, [*arguments, "--palette"]).exit_code == 0
    assert out.stat().st_size < 0.6 * plain
    assert RUN.invoke(contact_sheet.app, [str(tmp_path), "--out", str(out)]).exit_code == 2


def test_sheet_refusals(clean, tmp_path):
    with pytest.raises(SettingsError, match="no records"):
        contact_sheet.contact_sheet([], clean)
    with pytest.raises(OutputError, match="cannot be written"):
        contact_sheet.save_sheet(Image.new("RGB", (9, 9)), tmp_path / "sheet.unknown")


def test_figures_of_a_data_set():
    def made(*operations: str, area: float) -> Record:
        history = tuple({"on": "region", "shape": "box"} for _ in operations)
        return Record(image="a", label="forged", operations=operations, history=history, forged_fraction=area)

    records = [made("blur", "tone", area=0.1), made("splice", "blur", area=0.3), made("splice", area=0.2)]
    records.append(Record(image="b", label="authentic", forged_fraction=0.0))
    counts = contact_sheet.composition(records)
    assert counts["operation"] == {"blur": 2, "splice": 2, "tone": 1}
    assert counts["shape"] == {"box": 5}
    assert counts["granularity"] == {"forged": 3, "authentic": 1}
    assert contact_sheet.same_content_share(records) == pytest.approx(1 / 3)
    assert contact_sheet.area_percentiles(records)[50] == pytest.approx(0.2)
    assert contact_sheet.same_content_share(records[3:]) is None
    assert contact_sheet.area_percentiles(records[3:]) == {}


def test_choice_is_repeatable_and_sorted():
    records = [Record(image=str(i), label=("authentic", "forged")[i % 2]) for i in range(40)]
    chosen = contact_sheet.choose(records, 12, seed=3)
    assert chosen == contact_sheet.choose(records, 12, seed=3)
    assert chosen != contact_sheet.choose(records, 12, seed=4)
    labels = [r.label for r in chosen]
    assert labels == sorted(labels)
    assert len({r.image for r in chosen}) == 12
    assert len(contact_sheet.choose(records, 99)) == 40
