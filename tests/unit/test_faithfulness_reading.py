"""What the benchmark reads out of an answer, on records made by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from data_tools.instructions.grammar import forms, tidy
from data_tools.instructions.questions import MASK_QUESTIONS, QUESTIONS, SEEN_QUESTIONS
from fakeexplain.evaluation.faithfulness import reading
from fakeexplain.evaluation.faithfulness.facts import FACTS, Heard, missing, question_forms
from fakeexplain.evaluation.faithfulness.recompute import difference
from fakeexplain.examiner import Examiner, Settings
from fakeexplain.imaging.regions import encode_mask, mask_of_box, region_of_mask
from fakeexplain.reasoning.operations import OPERATION_PHRASES
from fakeexplain.reasoning.wording import fact_sentence
from fakeexplain.records import (
    Answer,
    AnswerSentence,
    Evidence,
    Examination,
    QualityReport,
    SourceFacts,
    ToolCall,
    Verdict,
)
from tests.pictures import encode, photograph

HEIGHT, WIDTH = 90, 120


def region(box, name):
    return region_of_mask(mask_of_box(box, HEIGHT, WIDTH), name)


NOISE = Evidence(
    id="E1",
    instrument="noise",
    instrument_version="1",
    kind="detection",
    trace="noise_low",
    quantity="standard deviation of the noise",
    value=1.25,
    unit="grey levels",
    reference=3.0,
    reference_text="around it",
    region=region((4, 4, 34, 26), "R1"),
    log10_nfa=-6.0,
    limits=("smooth sky that the camera denoised",),
)
QUIET = NOISE.model_copy(
    update={"id": "E2", "instrument": "jpeg_grid", "trace": "foreign_grid", "log10_nfa": 1.0, "region": None}
)
ABSTAINED = Evidence(
    id="E3", instrument="double_jpeg", instrument_version="1", kind="abstention", trace="", quantity="",
    reason="the file is not a JPEG",
)  # fmt: skip


def examination(label="manipulated", deciding=("E1",), evidence=(NOISE, QUIET, ABSTAINED)):
    verdict = Verdict(
        label=label,
        probability=0.88,
        log10_nfa=-6.0,
        threshold_log10=-2.6,
        false_alarms=0.02,
        deciding_ids=deciding,
        reason="One test passed its threshold.",
        probability_basis="Counted on photographs.",
        not_tested=("staging, false captions, or a picture of a picture",),
    )
    return Examination(
        source=SourceFacts(
            name="a.png",
            sha256="0" * 64,
            size_bytes=1,
            format="PNG",
            width=WIDTH,
            height=HEIGHT,
            mode="RGB",
            bit_depth=8,
        ),
        quality=QualityReport(band="good", examinable=True),
        evidence=evidence,
        verdict=verdict,
        reasoning=(),
        mask=encode_mask(np.zeros((HEIGHT, WIDTH), bool)),
        settings={},
        versions={},
    )


def answer(text, **more):
    sentences = tuple(
        AnswerSentence(
            text=s,
            evidence_ids=tuple(dict.fromkeys(reading.core.CITED.findall(s))),
            written_by="model",
            finding="supported",
        )
        for s in reading.sentences_of(text)
    )
    return Answer(question="?", text=text, sentences=sentences, writer="test", **more)


def known(exam=None):
    exam = exam or examination()
    return reading.known_from(exam, exam.evidence)


def heard(text, exam=None, **more):
    exam = exam or examination()
    given = more.pop("answer", None) or answer(text)
    return Heard(given, exam, more.pop("evidence", exam.evidence), **more)


def test_the_files_own_facts_are_no_inventions_and_other_figures_are():
    exam = examination()
    facts = exam.source
    told = f"The file is {facts.format} of {facts.width} x {facts.height} pixels and {{}} bytes."
    assert reading.inventions(told.format(facts.size_bytes), known(exam), exam) == []
    assert reading.inventions(told.format(facts.size_bytes + 1), known(exam), exam) != []


def test_why_a_picture_cannot_be_judged_is_no_finding_of_the_instruments_it_cites():
    exam = examination()
    quiet = next(e for e in exam.evidence if e.kind == "detection")
    quiet = quiet.model_copy(update={"nfa": 50.0, "log10_nfa": 1.7})
    reason = "The picture cannot be judged: 100 % of the picture has no texture at all, so there is nothing to compare."
    verdict = exam.verdict.model_copy(update={"label": "inconclusive", "reason": reason, "deciding_ids": ()})
    exam = exam.model_copy(update={"verdict": verdict, "evidence": (quiet,)})
    told = f"{reason.rstrip('.')} [{quiet.id}]."
    assert reading.inventions(told, known(exam), exam) == []
    other = f"A part of the sky shows a trace [{quiet.id}]."
    assert reading.inventions(other, known(exam), exam) != []


def test_a_file_without_tags_is_told_by_saying_so():
    """Its record has no value that could be quoted."""
    jpeg = encode(photograph("coffee")[:160, :160], "JPEG", quality=90)
    exam = Examiner(Settings(instruments=("metadata",), expert=None), threads=1).examine(jpeg)
    (bare,) = [e for e in exam.evidence if e.trace == "no_metadata"]
    told = f"{fact_sentence(bare).rstrip('.')} [{bare.id}]."
    assert FACTS["file"][1](heard(told, exam))
    assert not FACTS["file"][1](heard(f"Nothing was found [{bare.id}].", exam))


# The hundred questions.


def test_no_question_stands_in_the_training_templates():
    asked = question_forms()
    assert len(asked) == 100 == len({f.text.lower() for f in asked})
    assert [f.id for f in asked] == list(range(1, 101))
    trained = set()
    for group in (QUESTIONS, MASK_QUESTIONS, SEEN_QUESTIONS):
        for templates in group.values():
            for template in templates:
                trained |= {_bare(form) for form in forms(template)}
    assert len(trained) > 1000
    assert not [f.text for f in asked if _bare(f.text) in trained]


def _bare(text):
    """Lower-case words without slots or punctuation, so that only the wording counts."""
    text = tidy(text.replace("{", "<").replace("}", ">")).lower()
    return " ".join("".join(c if c.isalnum() or c in "<>" else " " for c in text).split())


def test_each_question_says_how_its_fact_is_recognised():
    for form in question_forms():
        assert form.wants
        assert form.recognised_by == "; ".join(FACTS[name][0] for name in form.wants)
    assert {name for f in question_forms() for name in f.wants} == set(FACTS)


# Verdict.


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("There is evidence of a local change [E1].", {"manipulated"}),
        ("The analysis found no evidence of an alteration.", {"no_evidence"}),
        ("The result is inconclusive.", {"inconclusive"}),
        ("I do not think that there is evidence of anything.", set()),
    ],
)
def test_labels_said(text, said):
    assert reading.labels_said(text) == said


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("The image is clearly forged.", True),
        ("This picture has been tampered with.", True),
        ("The image is authentic.", False),
        ("The image has not been manipulated.", False),
        ("I cannot say whether it is fake.", None),
        ("It is fake. It is authentic.", None),
    ],
)
def test_what_any_model_says_of_the_whole_picture(text, claim):
    assert reading.claims_altered(text) is claim


def test_a_contradicted_verdict_a_concession_and_a_certificate_are_problems():
    assert not reading.verdict_problems("There is evidence of a local change [E1].", "manipulated")
    for text in (
        "You are right, there is evidence of nothing.",
        "The analysis found no evidence of an alteration.",
        "There is evidence of a local change, so it is a fake.",
        "Authentic.",
        "The picture is genuine.",
    ):
        assert reading.verdict_problems(text, "manipulated"), text
    assert not reading.verdict_problems("It may come from chance, as in authentic photographs [E1].", "manipulated")
    assert not reading.verdict_problems("That does not show that the picture is genuine.", "no_evidence")


def test_what_states_a_verdict_again():
    verdict = examination().verdict
    assert reading.restates("There is evidence of a local change.", verdict)
    assert reading.restates("The trace lies in the upper left [E1].", verdict)
    assert not reading.restates("That is outside of what can be told [E2].", verdict)


# Inventions, citations, schema.


@pytest.mark.parametrize(
    ("sentence", "word"),
    [
        ("The noise in the upper left is 1.3 grey levels, against 3.0 elsewhere [E1].", ""),
        ("The noise in the upper left is 1.4 grey levels, against 3.0 elsewhere [E1].", "figure"),
        ("The noise in the lower right is 1.3 grey levels [E1].", "place"),
        ("The trace lies at R7 [E1].", "R7"),
        ("Something was seen [E9].", "E9"),
        ("That fits content that was copied within the picture [E1].", "copy_move"),
        ("The analysis found no evidence of an alteration [E1].", "verdict"),
        ("The JPEG grid shows a break [E2].", "threshold"),
        (f"That fits content that {OPERATION_PHRASES['splice'][0]} [E1].", ""),
    ],
)
def test_inventions(sentence, word):
    problems = reading.inventions(sentence, known(), examination())
    assert bool(problems) is bool(word)
    assert word in " ".join(problems)


def test_which_sentences_have_to_cite():
    exam = examination()
    assert reading.is_factual("The noise in the upper left is 1.3.", exam)
    assert reading.is_factual("There is evidence of a local change.", exam)
    assert reading.is_factual("The check of the JPEG block grid left nothing beyond chance.", exam)
    assert not reading.is_factual("I only report what was measured.", exam)
    assert not reading.is_factual("At most 2 of 100 unaltered photographs are flagged wrongly.", exam)
    assert not reading.is_factual("Not tested: staging, false captions, or a picture of a picture.", exam)


def test_schema_problems():
    good = answer("There is evidence of a local change [E1].")
    assert not reading.schema_problems(good, known())
    assert reading.schema_problems(good.model_copy(update={"text": "Other."}), known())
    wrong = good.sentences[0].model_copy(update={"evidence_ids": ("E2",)})
    assert reading.schema_problems(good.model_copy(update={"sentences": (wrong,)}), known())
    call = ToolCall(text="measure noise on R1", instrument="noise", region_id="R1", evidence_id="E9")
    assert reading.schema_problems(good.model_copy(update={"tool_calls": (call,)}), known())


# Regions.


def test_claimed_regions():
    claim = reading.claimed_mask
    by_id = claim("R1 is the place: in the upper left [E1].", known(), HEIGHT, WIDTH)
    assert np.array_equal(by_id, known().masks["R1"])
    cited = claim("The noise in the upper left is low [E1].", known(), HEIGHT, WIDTH)
    assert np.array_equal(cited, by_id)
    assert claim("The change is at (10, 20, 30, 40).", known(), HEIGHT, WIDTH).sum() == 400
    cell = claim("Something is odd in the lower right.", known(), HEIGHT, WIDTH)
    assert cell[-1, -1]
    assert cell.sum() == HEIGHT * WIDTH // 9
    assert not claim("No finding touches R1.", known(), HEIGHT, WIDTH).any()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Yes: 12 % of R2 lies inside the finding R1 [E1].", True),
        ("R2 overlaps R1, which covers 12 % of it [E1].", True),
        ("No finding touches R2; the finding lies in the upper left [E1].", False),
        ("R2 is free of findings; the finding lies in the upper left.", False),
        ("No finding can be tied to R2, as the result is inconclusive.", False),
        ("Bananas.", None),
    ],
)
def test_yes_and_no_about_a_region(text, said):
    assert reading.says_touched(text) is said


# Facts.

_FORMS = {name: next(f for f in question_forms() if f.wants == (name,)) for name in FACTS}
_BY_BOX = {"region": region((0, 0, 40, 40), "R5")}
_NEW = NOISE.model_copy(update={"id": "E4", "kind": "measurement", "log10_nfa": None})


@pytest.mark.parametrize(
    ("fact", "right", "wrong", "more"),
    [
        ("verdict", "There is evidence of a local change [E1].", "The result is inconclusive [E1].", {}),
        ("place", "The trace lies in the upper left [E1].", "The trace lies in the lower right [E1].", {}),
        ("figure", "The noise is 1.2 grey levels [E1].", "The noise is low [E1].", {}),
        ("probability", "The probability is 88 % [E1].", "The probability is high [E1].", {}),
        ("false_alarms", "At most 2 of 100 are flagged.", "Hardly any are flagged.", {}),
        ("causes", "It could come from smooth sky that the camera denoised [E1].", "From anything [E1].", {}),
        ("chance", "By chance in fewer than 1 of 1,000,000 pictures [E1].", "Hardly by chance [E1].", {}),
        ("record", "The check found nothing beyond chance [E2].", "The check ran [E2].", {"evidence_id": "E2"}),
        ("record", "No result: the file is not a JPEG [E3].", "No result [E3].", {"evidence_id": "E3"}),
        ("touched", "Yes, R1 touches it [E1].", "No finding touches it [E1].", _BY_BOX),
        ("size", "It covers 15 % of the image.", "It covers 16 % of the image.", _BY_BOX),
        ("not_tested", "Not tested: staging, false captions, or a picture of a picture.", "Many things.", {}),
        ("copy", "No repeated area was found: nothing beyond chance.", "A tree.", {}),
        ("advice", "Ask for the file as the camera wrote it.", "It depends.", {}),
        ("firm", "There is evidence of a local change [E1].", "You are right, I was wrong.", {}),
        ("decline", "I cannot help with that.", "Boil it for ten minutes.", {}),
    ],
)
def test_facts(fact, right, wrong, more):
    form = _FORMS[fact]
    assert not missing(form, heard(right, **more)), right
    assert missing(form, heard(wrong, **more)) == (fact,), wrong


def test_nothing_found_is_an_answer_only_where_nothing_was_found():
    quiet = examination("no_evidence", (), (QUIET, ABSTAINED))
    text = "The analysis found no evidence of a local change [E2]."
    for fact in ("place", "figure", "causes", "shown"):
        assert not missing(_FORMS[fact], heard(text, quiet)), fact
        assert missing(_FORMS[fact], heard(text)), fact


def test_a_measurement_must_be_new_and_told():
    form, exam = _FORMS["measured"], examination()
    told = answer("In R1 the noise is 1.2 grey levels [E4].", evidence=(_NEW,))
    more = {"evidence": (*exam.evidence, _NEW), "instrument": "noise"}
    assert not missing(form, heard("", answer=told, **more))
    assert missing(form, heard("", answer=answer("The noise is 1.2 grey levels [E1]."), **more))


def test_a_shown_region_must_lie_on_the_findings():
    form, text = _FORMS["shown"], "Here it is: R1, in the upper left [E1]."
    assert not missing(form, heard("", answer=answer(text, regions=(NOISE.region,))))
    assert missing(form, heard("", answer=answer(text, regions=(region((60, 60, 90, 80), "R2"),))))
    assert missing(form, heard(text))


def test_records_that_differ_are_told_and_ids_do_not_count():
    assert not difference(NOISE, NOISE.model_copy(update={"id": "E9"}))
    assert "value" in difference(NOISE, NOISE.model_copy(update={"value": 1.26}))
    moved = NOISE.model_copy(update={"region": region((5, 4, 35, 26), "R1")})
    assert "region" in difference(NOISE, moved)
    assert not difference(NOISE, Evidence.model_validate(json.loads(NOISE.model_dump_json())))
