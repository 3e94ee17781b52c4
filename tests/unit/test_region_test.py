"""A region that somebody names, tested by itself: the statistic, its law, and what an answer makes of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from fakeexplain import region_test
from fakeexplain.conversation import Conversation
from fakeexplain.errors import MeasurementError
from fakeexplain.evaluation.faithfulness import reading
from fakeexplain.examiner import Examiner, Settings
from fakeexplain.localization import Calibration, Expert, Localization
from fakeexplain.reasoning.grounding import Checker
from fakeexplain.reasoning.wording import describe, describe_bare
from fakeexplain.reasoning.writers import WriteRequest
from fakeexplain.records import REGION_TEST, Evidence
from fakeexplain.region_test import LEVELS, SIZES, contrast, fit_law, law_of, places, share_as_high
from tests.pictures import encode, photograph

LAW = tuple(0.5 + i for i in range(len(LEVELS)))
BOX = (100, 80, 180, 160)


def calibration() -> Calibration:
    values = {"weights_sha256": "", "temperature": 1.0, "scores": {}, "operation_reliability": {}, "data": ""}
    return Calibration.model_validate({**values, "regions": dict.fromkeys(SIZES, LAW), "region_photographs": 300})


def suspicious(height: int, width: int, box: tuple[int, int, int, int], inside: float, rest: float = 0.1) -> np.ndarray:
    map_ = np.full((height, width), rest, np.float32)
    map_[box[1] : box[3], box[0] : box[2]] = inside
    return map_


def region(height: int, width: int, box: tuple[int, int, int, int] = BOX) -> np.ndarray:
    return suspicious(height, width, box, 1.0, 0.0) > 0.5


def test_contrast_is_the_rise_in_logits_above_the_rest() -> None:
    mask = region(300, 400)
    assert contrast(suspicious(300, 400, BOX, 0.9), mask) == pytest.approx(np.log(9) + np.log(9), abs=1e-4)
    assert contrast(suspicious(300, 400, BOX, 0.1), mask) == pytest.approx(0.0, abs=1e-6)
    # a map that is high everywhere says nothing about this place
    assert contrast(suspicious(300, 400, BOX, 0.9, 0.9), mask) == pytest.approx(0.0, abs=1e-6)
    assert np.isfinite(contrast(suspicious(300, 400, BOX, 1.0, 0.0), mask))


@pytest.mark.parametrize(
    ("box", "height", "said"),
    [
        ((0, 0, 10, 10), 300, "100 pixels, at least 512"),
        ((0, 0, 400, 290), 300, "wanted at most 60 %"),
        (BOX, 301, "frame of the upright picture"),
    ],
    ids=["too small", "too large", "another frame"],
)
def test_regions_that_cannot_be_compared_are_refused(box: tuple[int, int, int, int], height: int, said: str) -> None:
    with pytest.raises(MeasurementError, match=said):
        contrast(suspicious(300, 400, box, 0.9), region(height, 400, box))


def test_a_law_promises_no_more_than_it_holds() -> None:
    """Photographs like those it was counted on pass each level at most that often, on the average."""
    rng = np.random.default_rng(0)
    passed = np.zeros(len(LEVELS))
    trials = 150
    for _ in range(trials):
        scores = [rng.normal(rng.normal(), 0.5, 4) for _ in range(201)]  # places of one photograph resemble each other
        law, score = fit_law(scores[1:]), float(scores[0][0])
        passed += [share_as_high(law, score) <= level for level in LEVELS]
    rates, levels = passed / trials, np.array(LEVELS)
    assert np.all(rates <= levels + 3 * np.sqrt(levels * (1 - levels) / trials))
    assert rates[0] > 0.35  # and it is no law that nothing passes


def test_levels_that_few_photographs_cannot_tell_are_never_reached() -> None:
    law = fit_law([[0.0], [1.0], [2.0]])
    assert law[LEVELS.index(0.2)] is None
    assert share_as_high(law, 1e9) == pytest.approx(0.3)  # one of four would be 0.25
    assert share_as_high(law, -1e9) == 1.0


def test_places_are_of_their_size_and_repeat() -> None:
    rgb = photograph("chelsea")
    found = list(places(rgb, np.random.default_rng(3)))
    assert {name for name, _ in found} == set(SIZES)
    assert all(mask.mean() <= SIZES[name] for name, mask in found)
    again = list(places(rgb, np.random.default_rng(3)))
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(found, again, strict=True))


def test_weights_without_a_law_say_how_to_count_one() -> None:
    with pytest.raises(MeasurementError, match=r"training\.calibrate"):
        law_of({}, 0.02)


class SeeingExpert(Expert):
    """An expert whose map is this high in the box, and whose network was never built."""

    inside = 0.1

    def localize(self, source, *, threads=None, regions=()) -> Localization:  # type: ignore[no-untyped-def, override]
        map_ = suspicious(source.height, source.width, BOX, self.inside)
        return Localization(map_, map_, map_ > 0.5, 0.0, 0.0, {}, tuple(contrast(map_, r) for r in regions))


class NetworkExaminer(Examiner):
    """An examiner whose expert saw this map."""

    def __init__(self, inside: float) -> None:
        super().__init__(Settings(expert=None), threads=1)
        self.inside = inside

    @property
    def tests_regions(self) -> bool:
        return True

    def measure(self, picture, instrument="region_contrast", **region) -> Evidence:  # type: ignore[no-untyped-def, override]
        if instrument != "expert":
            return super().measure(picture, instrument, **region)
        expert = SeeingExpert(None, calibration(), "test")  # type: ignore[arg-type]
        expert.inside = self.inside
        return expert.test_region(self.load(picture), region["region_mask"], self.settings.false_alarms)


@pytest.mark.parametrize(("inside", "remarkable"), [(0.999999, True), (0.45, False), (0.1, False)])
def test_a_region_without_a_finding_is_tested_by_itself(inside: float, remarkable: bool) -> None:
    talk = Conversation(NetworkExaminer(inside), encode(photograph("chelsea")[:300, :400], "JPEG", quality=90))
    verdict = talk.examination.verdict
    answer = talk.ask("Was this part edited?", region=BOX)
    assert verdict.label == "no_evidence"
    item = next(e for e in talk.evidence if e.instrument == "expert")
    assert [c.evidence_id for c in answer.tool_calls if c.instrument == "expert"] == [item.id]
    assert item.kind == "measurement"
    assert f"[{item.id}]" in answer.text
    known = reading.known_from(talk.examination, talk.evidence, talk.regions)
    assert reading.invented(reading.sentences_of(answer.text), known, talk.examination) == []
    assert reading.says_remarkable(answer.text) is remarkable
    assert reading.says_touched(answer.text) is False  # no finding of the whole picture
    assert ("2 of 100" in answer.text or "5 of 1,000" in answer.text) is remarkable
    assert ("could also come from a choice of the region" in answer.text) is remarkable
    assert talk.examination.verdict == verdict
    again = talk.ask("And was this part changed?", region=BOX)
    assert [c.evidence_id for c in again.tool_calls if c.instrument == "expert"] == [item.id]  # measured once
    assert [e.id for e in talk.evidence].count(item.id) == 1


def test_other_questions_about_a_region_test_nothing() -> None:
    talk = Conversation(NetworkExaminer(0.999999), encode(photograph("chelsea")[:300, :400], "JPEG", quality=90))
    for question in ("How large is this region?", "Please measure the noise here."):
        answer = talk.ask(question, region=BOX)
        assert not any(c.instrument == "expert" for c in answer.tool_calls), question


def test_a_region_that_the_examination_marked_itself_is_not_tested_again() -> None:
    talk = Conversation(NetworkExaminer(0.999999), encode(photograph("chelsea")[:300, :400], "JPEG", quality=90))
    assert talk.examination.verdict.label == "no_evidence"
    item = next(e for e in talk.examination.evidence if e.areas)
    answer = talk.ask(f"What is in the region {item.areas[0].id}?")
    assert not any(c.instrument == "expert" for c in answer.tool_calls)
    assert f"[{item.id}]" in answer.text
    assert "chosen, not found" not in answer.text


def test_what_the_network_marked_is_not_tested_by_command_either() -> None:
    examiner = NetworkExaminer(0.999999)
    picture = encode(photograph("chelsea")[:300, :400], "JPEG", quality=90)
    examination = examiner.examine(examiner.load(picture))
    marked = next(e for e in examination.evidence if e.areas)
    evidence = [e.model_copy(update={"instrument": "expert"}) if e is marked else e for e in examination.evidence]
    talk = Conversation(examiner, picture, examination=examination.model_copy(update={"evidence": tuple(evidence)}))
    answer = talk.ask(f"measure expert on {marked.areas[0].id}")
    assert "could not be measured: the network marked this region itself" in answer.text
    assert not talk.evidence[len(evidence) :]


@pytest.mark.parametrize(("share", "remarkable"), [(0.999999, True), (0.5, False)])
def test_a_model_is_shown_the_test_and_what_it_leaves_out_is_added(share: float, remarkable: bool) -> None:
    quiet = "No finding touches {}, for no evidence was found anywhere in the picture [E1]."

    class Tells:
        name = "tells"
        tells = False

        def write(self, request: WriteRequest) -> Iterator[str]:
            call = request.calls[0]
            item = next(e for e in request.evidence if e.id == call.evidence_id)
            yield quiet.format(request.region_id)
            if self.tells:
                yield f" {describe_bare(item).rstrip('.')} [{item.id}]."

    picture = encode(photograph("chelsea")[:300, :400], "JPEG", quality=90)
    writer = Tells()
    talk = Conversation(NetworkExaminer(share), picture, writer=writer)
    answer = talk.ask("Was this part edited?", region=BOX)
    assert [s.written_by for s in answer.sentences][:2] == ["model", "rule"]
    assert reading.says_remarkable(answer.text) is remarkable
    writer.tells = True
    told = talk.ask("Was this part edited?", region=BOX)
    assert [s.text for s in told.sentences] == [s.text for s in answer.sentences]
    assert [s.written_by for s in told.sentences] == ["model", "model", *(["rule", "rule"] if remarkable else [])]


def test_what_a_test_gave_is_told_in_the_librarys_own_words() -> None:
    """ "up to how far this region stands apart from the rest ... places of this size" was let through."""
    talk = Conversation(NetworkExaminer(0.5), encode(photograph("chelsea")[:300, :400], "JPEG", quality=90))
    told = talk.ask("Was this part edited?", region=BOX)
    item = next(e for e in talk.evidence if e.trace == REGION_TEST)
    checker = Checker(talk.examination, talk.evidence, talk.regions)
    right = next(s.text for s in told.sentences if s.evidence_ids == (item.id,))
    assert checker.check(right).finding == "supported"
    assert checker.check(right.replace("does not stand out", "stands out")).finding == "unsupported"
    other = f"Tested by itself, R1 does not stand out to the trained network: up to {item.quantity} places [{item.id}]."
    assert checker.check(other).finding == "unsupported"
    assert checker.check(f"In R1, {item.quantity}: {item.value} [{item.id}].").finding == "unsupported"


def test_an_examiner_without_expert_says_so() -> None:
    examiner = Examiner(Settings(expert=None), threads=1)
    assert not examiner.tests_regions
    with pytest.raises(MeasurementError, match="without the trained network"):
        examiner.measure(encode(photograph("chelsea")), "expert", box_xyxy=BOX)


def test_the_embedded_expert_tests_a_region_the_same_way_every_time() -> None:
    picture = encode(photograph("chelsea"), "JPEG", quality=90)
    first = Examiner(threads=1).measure(picture, "expert", box_xyxy=BOX)
    examiner = Examiner(threads=1)
    examiner.examine(picture)
    again = examiner.measure(picture, "expert", box_xyxy=BOX)
    assert first.value == pytest.approx(again.value)
    assert first.p_value == again.p_value
    assert 0 < first.p_value <= 1
    assert first.log10_nfa is None
    assert describe(first).startswith("Tested by itself, the region in the ")
    assert region_test.size_class(first.region.area_fraction) == first.details["size_class"]
