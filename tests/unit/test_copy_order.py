"""Which of two equal places is the copy: told from the expert's map or not at all, and what rests on it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.copy_order import judged, record
from data_tools.instructions import phrases
from data_tools.instructions.grammar import choose
from fakeexplain.conversation import Conversation
from fakeexplain.copy_order import APART, CopyOrderCounts, copy_first, mean_logits, with_order
from fakeexplain.evaluation.faithfulness import reading
from fakeexplain.examiner import Examiner, Settings, examination_map, examination_mask
from fakeexplain.imaging.regions import decode_mask, region_of_mask
from fakeexplain.instruments._copy_move_compare import apply_map
from fakeexplain.instruments.copy_move import CopyMove, other_way_round
from fakeexplain.localization import Calibration, Expert, Localization, embedded_folder
from fakeexplain.reasoning.grounding import Checker
from fakeexplain.reasoning.prompting import evidence_line
from fakeexplain.reasoning.wording import describe, order_sentence
from fakeexplain.records import Evidence, Examination
from fakeexplain.report.render import render_html
from tests.pictures import copy_move, encode, jpeg_round_trip, photograph
from tests.writers import Says

RGB, BOTH = copy_move(photograph("astronaut"), size=90, start=(60, 60), shift=(20, 230))
FORGED = encode(RGB)
TRUTH = BOTH.copy()
TRUTH[:, :200] = False  # the place that was copied from
COUNTS = CopyOrderCounts(pairs=20, told=12, right=11, data="a test")


def place(box: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((80, 100), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def test_places_are_compared_by_what_each_has_for_itself() -> None:
    map_ = np.full((80, 100), 0.1, np.float32)
    first, second = place((10, 10, 40, 40)), place((30, 10, 60, 40))
    map_[10:40, 10:30] = 0.9
    assert mean_logits(map_, first, second) == pytest.approx((np.log(9), -np.log(9)), abs=1e-5)
    assert mean_logits(map_, first, place((12, 10, 42, 40))) is None  # nearly the same place
    assert mean_logits(map_, first, np.zeros_like(first)) is None
    sure = mean_logits((map_ > 0.5).astype(np.float32), first, second)
    assert sure is not None
    assert np.isfinite(sure).all()


@pytest.mark.parametrize(
    ("means", "first"),
    [
        ((3.0, -2.0), True),
        ((-2.0, 3.0), False),
        ((3.0, 0.5), None),  # both marked
        ((-0.5, -4.0), None),  # neither
        ((APART / 2 - 0.01, -APART / 2), None),
        (None, None),
    ],
    ids=["first", "second", "both", "neither", "close", "overlapping"],
)
def test_the_order_is_told_only_where_the_map_is_clear(means: tuple[float, float] | None, first: bool | None) -> None:
    assert copy_first(means) is first


class MarkingExpert(Expert):
    """An expert whose map marks the pasted place (or what is given), and whose network was never built."""

    marked = TRUTH

    def localize(self, source, *, threads=None, regions=()) -> Localization:  # type: ignore[no-untyped-def, override]
        map_ = np.where(self.marked, 0.97, 0.03).astype(np.float32)
        operations = {"copy_move": 1.0}
        return Localization(map_, map_, map_ > 0.5, -1.0, -1.0, operations)


def examiner(counts: CopyOrderCounts | None = COUNTS, marked: np.ndarray = TRUTH) -> Examiner:
    made = Examiner(Settings(instruments=("copy_move",), expert=None), threads=1)
    values: dict[str, Any] = {"weights_sha256": "", "temperature": 1.0, "operation_reliability": {}, "data": ""}
    calibration = Calibration(**values, scores={"all": tuple(range(200))}, copy_order=counts)
    made.expert = MarkingExpert(SimpleNamespace(), calibration, "test")  # type: ignore[arg-type]
    made.expert.marked = marked  # type: ignore[attr-defined]
    return made


@pytest.fixture(scope="module")
def told() -> Examination:
    return examiner().examine(FORGED)


def pair_of(examination: Examination) -> Evidence:
    return next(e for e in examination.evidence if e.instrument == "copy_move")


def test_the_mask_leaves_the_source_out_where_the_copy_is_told(told: Examination) -> None:
    pair = pair_of(told)
    assert pair.copy_and_source is not None
    copy, source = (decode_mask(r.mask) for r in pair.copy_and_source)
    assert TRUTH[copy].mean() > 0.9
    assert TRUTH[source].mean() < 0.1
    assert np.array_equal(examination_mask(told), copy)
    combined = examination_map(told)
    assert combined is not None
    assert combined[copy].min() == 1.0
    assert combined[source & ~TRUTH].max() < 0.5
    untold = examiner(None).examine(FORGED)
    assert pair_of(untold).copy_and_source is None
    assert np.array_equal(examination_mask(untold), copy | source)
    assert (told.verdict.label, told.verdict.probability) == (untold.verdict.label, untold.verdict.probability)


def test_whichever_place_is_marked_is_the_copy(told: Examination) -> None:
    pair = pair_of(told)
    assert pair.copy_and_source is not None
    other = decode_mask(pair.copy_and_source[1].mask)
    swapped = pair_of(examiner(marked=other).examine(FORGED))
    assert swapped.copy_and_source is not None
    assert swapped.copy_and_source[0].mask == pair.copy_and_source[1].mask
    assert swapped.copy_and_source[1].mask == pair.copy_and_source[0].mask
    assert (swapped.value, swapped.log10_nfa) == (pair.value, pair.log10_nfa)
    assert [-v for v in swapped.details["shift_pixels"]] == pair.details["shift_pixels"]
    everywhere = pair_of(examiner(marked=np.ones_like(TRUTH)).examine(FORGED))
    assert everywhere.copy_and_source is None


@pytest.mark.parametrize(
    "linear",
    [[[0.0, -1.25], [1.25, 0.0]], [[-0.8, 0.0], [0.0, 0.8]]],
    ids=["turned and larger", "mirrored and smaller"],
)
def test_a_pair_told_from_its_other_place_is_the_same_pair(linear: list[list[float]]) -> None:
    first, second = (region_of_mask(place(b), name) for b, name in (((5, 5, 25, 25), "R1"), ((60, 40, 80, 60), "R2")))
    rows = [[*row, shift] for row, shift in zip(linear, (90.0, 30.0), strict=True)]
    details = {"transform": rows, "scale": 1.25, "shift_pixels": [55.0, 35.0], "rotation_degrees": 90.0}
    values: dict[str, Any] = {"instrument": "copy_move", "instrument_version": "1", "kind": "detection", "trace": "t"}
    details["mirrored"] = linear[0][0] < 0
    item = Evidence(**values, quantity="q", region=first, partner=second, details=details)
    turned = other_way_round(item)
    assert (turned.region, turned.partner) == (second, first)
    point = np.array([[12.0, 17.0]])
    there = apply_map(np.array(rows), point)
    assert apply_map(np.array(turned.details["transform"]), there) == pytest.approx(point, abs=1e-3)
    assert turned.details["shift_pixels"] == [-55.0, -35.0]
    assert turned.details["rotation_degrees"] == (90.0 if details["mirrored"] else -90.0)
    again = other_way_round(turned)
    assert (again.region, again.partner, again.details["shift_pixels"]) == (first, second, [55.0, 35.0])


def test_nothing_is_told_without_a_map_or_without_counts() -> None:
    evidence = CopyMove().examine(examiner().load(FORGED))
    assert with_order(evidence, COUNTS) == evidence
    found = [*evidence, pair_of(examiner(None).examine(FORGED)).model_copy(update={"instrument": "expert"})]
    assert with_order(found, None) == found
    assert with_order(found, COUNTS.model_copy(update={"told": 0})) == found


def test_the_order_is_worded_with_what_was_counted(told: Examination) -> None:
    copy, source = pair_of(told).copy_and_source or ()
    said = describe(pair_of(told))
    assert f"so {copy.id} is taken for the copy and {source.id} for its source" in said
    assert "right for 11 of 12" in said
    assert "cannot be told" not in said
    told_line = evidence_line(pair_of(told), told.verdict)
    assert f"; {copy.id} is taken for the copy, {source.id} for its source" in told_line
    assert "Which of the two is the copy cannot be told" in describe(pair_of(examiner(None).examine(FORGED)))


@pytest.mark.parametrize("question", ["Which of the two is the copy?", "Show me the source of the copy."])
@pytest.mark.parametrize("counts", [COUNTS, None], ids=["told", "untold"])
def test_an_answer_says_which_is_the_copy_or_that_nobody_can_tell(
    counts: CopyOrderCounts | None, question: str
) -> None:
    using = examiner(counts)
    for writer in (None, Says("Which of the two is the copy cannot be told from the trace [E1].")):
        answer = Conversation(using, FORGED, writer=writer).ask(question)
        assert ("taken for the copy" in answer.text) is (counts is not None), answer.text
        assert ("cannot be told" in answer.text) is (counts is None), answer.text
        assert {"R1", "R2"} <= {r.id for r in answer.regions}


def test_the_checker_knows_who_is_the_copy(told: Examination) -> None:
    pair = pair_of(told)
    copy, source = pair.copy_and_source or ()
    regions = {r.id: r for r in pair.areas}
    checker = Checker(told, told.evidence, regions)
    for said, holds in (
        (f"{copy.id} is the copy [{pair.id}].", True),
        (f"{source.id} is its source [{pair.id}].", True),
        (f"{source.id} is the copy [{pair.id}].", False),
        (f"{copy.id} is taken for the source [{pair.id}].", False),
        (f"Which of the two came first cannot be told from the trace [{pair.id}].", False),
    ):
        assert (checker.check(said).finding == "supported") is holds, (said, checker.check(said))


def test_a_source_is_not_claimed_as_altered(told: Examination) -> None:
    pair = pair_of(told)
    copy, source = (decode_mask(r.mask) for r in pair.copy_and_source or ())
    known = reading.known_from(told, told.evidence, {r.id: r for r in pair.areas})
    for said in (order_sentence(pair), "{} is the copy and {} is its source.".format(*(r.id for r in pair.areas))):
        claimed = reading.claimed_mask(said.replace(".", f" [{pair.id}]."), known, *TRUTH.shape)
        assert np.array_equal(claimed, copy), said
    both = reading.claimed_mask("{1} repeats {0} [E1].".format(*(r.id for r in pair.areas)), known, *TRUTH.shape)
    assert np.array_equal(both, copy | source)


def test_dialogues_for_training_say_what_holds(told: Examination) -> None:
    pair = pair_of(told)
    copy, source = pair.copy_and_source or ()
    rng = np.random.default_rng(0)
    values = {"copy": copy.id, "source": source.id, "cites": f"[{pair.id}]"}
    said = {choose(phrases.SOURCE_TOLD, values, rng) for _ in range(40)}
    assert len(said) > 4
    checker = Checker(told, told.evidence, {r.id: r for r in pair.areas})
    assert {s: checker.check(s).problems for s in said} == dict.fromkeys(said, ())


@pytest.mark.parametrize(
    "said",
    [
        "{0} is the copy [E1].",
        "{1} is its source [E1].",
        "{1} is taken for the source [E1].",
        "{1} came first [E1].",
        "{1} was there before {0} [E1].",
        "The source of {0} is {1} [E1].",
        "{0}, the copy, repeats {1} [E1].",
        "The copy lies in {0} [E1].",
    ],
)
def test_nobody_says_who_is_the_copy_where_it_is_not_told(said: str) -> None:
    silent = examiner(None).examine(FORGED)
    regions = {r.id: r for r in pair_of(silent).areas}
    for ids in (("R1", "R2"), ("R2", "R1")):
        assert Checker(silent, silent.evidence, regions).check(said.format(*ids)).finding == "unsupported"
    assert Checker(silent, silent.evidence, regions).check("R1 repeats R2 [E1].").finding == "supported"


@pytest.mark.parametrize(
    "said",
    [
        "Which of the two is the copy cannot be told from the trace [E1].",
        "R1 repeats R2 [E1].",
        "R1 lies in the upper left, the counterpart of R2 [E1].",
    ],
)
def test_nobody_speaks_of_a_pair_that_is_none(told: Examination, said: str) -> None:
    pair = pair_of(told)
    alone = Examiner(Settings(instruments=("copy_move",), expert=None), threads=1).examine(
        encode(photograph("chelsea"))
    )
    regions = {r.id: r for r in pair.areas}
    assert alone.evidence[0].partner is None
    assert Checker(alone, alone.evidence, regions).check(said).finding == "unsupported"
    single = pair.model_copy(update={"partner": None})
    assert Checker(told, [single, *told.evidence[1:]], regions).check(said).finding == "unsupported"
    third = {**regions, "R3": region_of_mask(decode_mask(pair.areas[0].mask), "R3")}
    assert Checker(told, told.evidence, third).check("R1 repeats R3 [E1].").finding == "unsupported"


def test_a_report_draws_the_copy_first(told: Examination) -> None:
    page = render_html(told, examiner().load(FORGED))
    copy, source = pair_of(told).copy_and_source or ()
    first, second = page.index(f"E1a ({copy.id}), taken for the copy"), page.index(f"E1b ({source.id}), taken for its")
    assert first < second


def test_pairs_are_counted_against_the_truth(tmp_path: Path) -> None:
    first, second = place((5, 5, 25, 25)), place((60, 40, 80, 60))
    marks = np.where(second, 0.95, 0.05).astype(np.float32)
    assert list(judged([(first, second)], second, marks)) == ["right"]
    assert list(judged([(first, second)], first, marks)) == ["wrong"]
    assert list(judged([(first, second)], second, np.full_like(marks, 0.05))) == ["untold"]
    assert list(judged([(first, second)], first | second, marks)) == ["unclear"]
    shutil.copytree(embedded_folder(), tmp_path / "weights")
    record(tmp_path / "weights", 9, 5, 4, "a test")
    counted = Expert.load(tmp_path / "weights").calibration
    assert counted is not None
    assert counted.copy_order == CopyOrderCounts(pairs=9, told=5, right=4, data="a test")


def test_the_embedded_expert_tells_a_copy_from_its_source() -> None:
    forged, _ = copy_move(jpeg_round_trip(photograph("astronaut"), 85), size=90, start=(60, 60), shift=(20, 230))
    pair = pair_of(Examiner(threads=1).examine(encode(forged)))
    assert pair.copy_and_source is not None
    assert TRUTH[decode_mask(pair.copy_and_source[0].mask)].mean() > 0.9
    # Pasted within a picture that was never saved, nothing of the place itself gives it away, so nothing is told.
    assert pair_of(Examiner(threads=1).examine(FORGED)).copy_and_source is None
