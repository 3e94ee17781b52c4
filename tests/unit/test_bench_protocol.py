"""Scoring one picture: the expert is scored like any evidence with a map, and models are loaded once a process."""

import numpy as np
import pytest
from PIL import Image

from fakeexplain.errors import SourceError
from fakeexplain.evaluation import failures, protocol
from fakeexplain.evaluation.datasets import read_dataset
from fakeexplain.examiner import Examiner, Settings
from fakeexplain.imaging.regions import region_of_mask
from fakeexplain.records import Evidence
from fakeexplain.verdict import Panel
from tests.pictures import encode, photograph

SETTINGS = Settings(instruments=("metadata",), expert=None)


class ExpertExaminer(Examiner):
    """An Examiner with a learned witness that suspects the upper half, as the real one reports it."""

    made = 0

    def __init__(self, settings, **options):
        super().__init__(settings, **options)
        self.panel = Panel(settings.false_alarms, self.panel.instruments, "expert")
        ExpertExaminer.made += 1

    def examine(self, picture, **options):
        examination = super().examine(picture, **options)
        source = self.load(picture)
        score_map = np.linspace(0.9, 0.1, source.height, dtype=np.float32)[:, None].repeat(source.width, 1)
        item = Evidence(
            id="E9",
            instrument="expert",
            instrument_version="1",
            kind="detection",
            trace="learned",
            quantity="probability",
            p_value=0.2 if "quiet" in source.name else 0.001,
            region=region_of_mask(score_map >= 0.5),
            score_map=score_map,
        )
        return examination.model_copy(update={"evidence": (*examination.evidence, item)})


@pytest.fixture
def items(tmp_path, monkeypatch):
    monkeypatch.setattr(protocol, "Examiner", ExpertExaminer)
    protocol.process_examiner.cache_clear()
    (tmp_path / "set/images").mkdir(parents=True)
    (tmp_path / "set/masks").mkdir()
    for number, name in enumerate(("forged.png", "quiet_forged.png", "authentic.png")):
        (tmp_path / "set/images" / name).write_bytes(encode(photograph("rocket")[number : number + 200, :160]))
        if "forged" in name:
            mask = np.zeros((200, 160), np.uint8)
            mask[:100, :80] = 255
            Image.fromarray(mask).save(tmp_path / "set/masks" / name)
    (tmp_path / "set/images/broken.png").write_bytes(b"no picture")
    yield {i.image_path.name: i for i in read_dataset(tmp_path / "set")}
    protocol.process_examiner.cache_clear()


def test_the_expert_is_scored_by_region_and_by_raw_map(items):
    row = protocol.score_item(items["forged.png"], SETTINGS)
    assert row.statistics["expert"] == pytest.approx(-3.0)
    assert row.f1["expert"] == row.f1["expert map"] == pytest.approx(2 / 3)
    assert row.pixel_auc["expert map"] == pytest.approx(5 / 6, abs=0.01)
    quiet = protocol.score_item(items["quiet_forged.png"], SETTINGS)
    assert quiet.f1["expert"] == 0.0, "below its threshold the expert says nothing"
    assert quiet.f1["expert map"] == pytest.approx(2 / 3), "its raw map does not depend on that"
    clean = protocol.score_item(items["authentic.png"], SETTINGS)
    assert clean.marked["expert map"] == clean.largest["expert map"] == 0.5
    assert clean.peak["expert map"] == pytest.approx(0.9)
    assert not clean.f1


def test_one_examiner_a_process(items):
    before = ExpertExaminer.made
    for item in items.values():
        protocol.score_item(item, SETTINGS)
    assert ExpertExaminer.made == before + 1


def test_a_broken_picture_is_a_row_and_a_wrong_mask_an_error(items, tmp_path):
    row = protocol.score_item(items["broken.png"], SETTINGS)
    assert row.label == "error"
    assert "broken.png" in row.error
    with pytest.raises(SourceError, match=r"broken\.png"):
        protocol.predict(items["broken.png"], SETTINGS)
    Image.new("L", (10, 10), 255).save(tmp_path / "set/masks/forged.png")
    with pytest.raises(SourceError, match="mask is 10x10"):
        protocol.score_item(items["forged.png"], SETTINGS)


def test_an_unopened_forged_picture_keeps_its_area(items, tmp_path):
    items["forged.png"].image_path.write_bytes(b"no picture")
    row = protocol.score_item(items["forged.png"], SETTINGS)
    assert row.forged
    assert row.true_area == pytest.approx(0.25)
    assert row.f1["suite"] == row.f1["all_ones"] == 0.0


def test_failures_show_picture_truth_and_prediction(items, tmp_path):
    np.save(tmp_path / "map.npy", np.zeros((200, 160), np.float32))
    key, drawn = failures.draw(
        items["forged.png"], ["expert map", "suite", "tool"], SETTINGS, {"tool": tmp_path / "map.npy"}
    )
    assert key == items["forged.png"].key
    assert [len(drawn[name]) for name in ("expert map", "suite", "tool")] == [3, 4, 3]
    _, alone = failures.draw(items["authentic.png"], ["tool"], SETTINGS, {"tool": tmp_path / "map.npy"})
    assert len(alone["tool"]) == 2
    (tmp_path / "x.jpg").write_bytes(drawn["expert map"][1])
    truth = np.array(Image.open(tmp_path / "x.jpg")).astype(int)
    (tmp_path / "x.jpg").write_bytes(drawn["expert map"][0])
    plain = np.array(Image.open(tmp_path / "x.jpg")).astype(int)
    changed = np.abs(truth - plain).sum(2) > 20
    assert changed[10:90, 10:70].mean() > 0.5
    assert changed[110:, 90:].mean() < 0.02
