"""Tags in finished files: read back by the library, blind to what was done, and asked about in dialogues."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_tools.instructions.answers import Answers
from data_tools.instructions.dialogues import Dialogues
from data_tools.instructions.file_tags import draw_tags, with_tags
from data_tools.instructions.picture import Picture, make
from data_tools.instructions.verify import check_record
from data_tools.instructions.write import Plan
from data_tools.schema import Record
from fakeexplain.examiner import Examiner
from fakeexplain.imaging.source import SourceImage
from fakeexplain.instruments.metadata import Metadata
from tests.pictures import PHOTOGRAPHS, photograph

NUMBER = 8


def encoded(file_format: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(photograph("coffee")[:97, :131]).save(stream, file_format)
    return stream.getvalue()


def read(data: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_the_library_reads_the_tags_and_the_pixels_stay(file_format: str) -> None:
    plain = encoded(file_format)
    cameras = 0
    for seed in range(12):
        tags = draw_tags(np.random.default_rng(seed))
        tagged = with_tags(plain, tags, (131, 97))
        assert np.array_equal(read(tagged), read(plain))
        source = SourceImage.from_bytes(tagged)
        assert source.format == file_format
        facts = {e.trace: e for e in Metadata().examine(source)}
        assert "broken_metadata" not in facts
        details = facts["camera_facts"].details
        for key, name in (("Model", "model"), ("Software", "software"), ("DateTimeOriginal", "taken")):
            assert details.get(key) == tags.told.get(name)
        assert details["gps_present"] == ("place" in tags.told)
        assert ("dimension_conflict" in facts) == (tags.size_factor > 1)
        cameras += facts["camera_facts"].value is not None
    assert cameras >= 8


def test_a_file_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="wanted JPEG, PNG or simple WebP"):
        with_tags(b"GIF89a" + bytes(20), draw_tags(np.random.default_rng(0)), (8, 8))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[float, list[Picture]]:
    """The same pictures with a share of tags of 0, a half and 1."""
    photos = tmp_path_factory.mktemp("tags") / "photos"
    photos.mkdir()
    for name in PHOTOGRAPHS:
        Image.fromarray(photograph(name)).save(photos / f"{name}.jpg", quality=93)
    plan, examiner = Plan(photos, size=160, seed=3), Examiner(threads=1, keep=1)
    return {
        share: [make(plan.forge(), examiner, i, plan.seed, share) for i in range(NUMBER)] for share in (0.0, 0.5, 1.0)
    }


def _tags(picture: Picture) -> Any:
    return next((h["tags"] for h in picture.sample.history if h.get("on") == "file"), None)


def test_tags_change_neither_the_picture_nor_the_verdict_and_do_not_know_the_label(
    pictures: dict[float, list[Picture]],
) -> None:
    assert {p.sample.label for p in pictures[0.0]} == {0, 1}
    assert not any(map(_tags, pictures[0.0]))
    for number, (bare, tagged) in enumerate(zip(pictures[0.0], pictures[1.0], strict=True)):
        assert np.array_equal(bare.source.rgb, tagged.source.rgb)
        assert bare.verdict == tagged.verdict
        assert bare.sample.label == tagged.sample.label
        rng = np.random.default_rng([2, 3, number])  # of the seed and the number alone
        rng.random()
        assert _tags(tagged) == draw_tags(rng).told
    some = [_tags(p) for p in pictures[0.5]]
    assert None in some
    assert any(some)


def test_evidence_with_tags_holds_more_facts(pictures: dict[float, list[Picture]]) -> None:
    counts = {s: [sum(e.kind == "fact" for e in p.examination.evidence) for p in ps] for s, ps in pictures.items()}
    assert np.mean(counts[1.0]) > np.mean(counts[0.0]) + 0.5


QUESTIONS = ("camera", "date", "software", "format")


def test_answers_about_the_file_are_its_facts_and_agree(pictures: dict[float, list[Picture]]) -> None:
    said: Counter[str] = Counter()
    for picture in [*pictures[0.0], *pictures[1.0]]:
        rng = np.random.default_rng(picture.index)
        writer = Dialogues(picture, rng)
        writer._topics = lambda: list(QUESTIONS)  # type: ignore[method-assign]
        turns, evidence = writer.write()
        entry = {
            "on": "examination",
            "verdict": picture.examination.verdict.model_dump(mode="json"),
            "quality": picture.examination.quality.model_dump(mode="json"),
        }
        rows = picture.source.rgb.shape
        record = Record(
            image="a.png", width=rows[1], height=rows[0], dialogue=turns, evidence=evidence, history=(entry,)
        )
        assert check_record(record) == []
        answers = dict(zip(QUESTIONS, turns[1::2], strict=True))
        told = _tags(picture) or {}
        traces = {e.trace for e in picture.examination.evidence}
        assert ("editor_software" in traces) == ("names a program that wrote or changed" in answers["software"].content)
        if "model" in told:
            assert told["model"] in answers["camera"].content
            said["camera"] += 1
        if "date_conflict" in traces:
            assert "Dates in the file do not agree" in answers["date"].content
            said["dates"] += 1
        if _tags(picture) is None:
            assert "carries no metadata" in answers["camera"].content
            said["none"] += 1
        # A wrong name is caught: it is a quotation of the record, and the record does not hold it.
        if "model" in told:
            wrong = answers["camera"].content.replace(told["model"], "DMC-17")
            spoilt = tuple(t.model_copy(update={"content": wrong}) if t is answers["camera"] else t for t in turns)
            assert check_record(record.model_copy(update={"dialogue": spoilt}))
    assert said["camera"] >= 4
    assert said["none"] == NUMBER


def test_every_answer_cites_or_says_that_the_lines_do_not_tell(pictures: dict[float, list[Picture]]) -> None:
    for picture in pictures[1.0]:
        answers = Answers(picture, np.random.default_rng(0))
        for name in QUESTIONS:
            text = " ".join(getattr(answers, name)())
            assert "[E" in text or "lines" in text
