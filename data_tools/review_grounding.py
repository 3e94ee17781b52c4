"""Whether a sentence is carried by a draft's evidence: the checker's word on edited claims, and on those of the draft.

Drafts that hold a verdict are checked by the checker of answers (`fakeexplain.reasoning.grounding`), which refuses what
it cannot verify; others by the check of training records. What is found never forbids anything: a person may keep the
sentence, and it stays marked. Deliberately left out: the checks themselves.
"""

from __future__ import annotations

from typing import Literal

from data_tools.instructions.verify import check_record
from data_tools.review_import import split_sentences
from data_tools.review_rows import Task, draft_entry, machine_verdict
from data_tools.review_state import DraftClaim, cited_ids
from data_tools.schema import IMAGE_TOKEN, Message, Record
from fakeexplain.reasoning.grounding import Checker, normalise
from fakeexplain.records import Claim, Examination, QualityReport, RunLengths, SourceFacts, Verdict

Finding = Literal["supported", "no_claim", "unsupported"]
# Sentences that these write are made from the evidence by rule; tests of the library check them there.
_BY_RULE = ("fakeexplain.reasoning.wording",)


def check_text(text: str, record: Record) -> tuple[Finding, tuple[str, ...]]:
    """(finding, problems in words) of one sentence or several: the worst of them; "no_claim" states nothing."""
    verdict = machine_verdict(record)
    checker = Checker(_examination(record, verdict), record.evidence, {}) if verdict is not None else None
    findings, problems = set[Finding](), list[str]()
    for sentence in split_sentences(text):
        if checker is not None:
            checked = checker.check(sentence)
            findings.add(checked.finding)
            problems += checked.problems
        else:
            found = _record_problems(sentence, record)
            findings.add("unsupported" if found else "supported" if cited_ids(sentence) else "no_claim")
            problems += found
    worst: Finding = "no_claim"
    if findings & {"supported", "unsupported"}:
        worst = "unsupported" if "unsupported" in findings else "supported"
    return worst, tuple(problems)


def _examination(record: Record, verdict: Verdict) -> Examination:
    """What a draft holds of the examination it was made from; the checker reads verdict, evidence and reasoning."""
    entry = draft_entry(record)
    quality = entry.get("quality")
    height, width = record.height or 1, record.width or 1
    return Examination(
        source=SourceFacts(
            name=record.image,
            sha256=record.sha256 or "",
            size_bytes=0,
            format=record.format,
            width=width,
            height=height,
            mode="",
            bit_depth=8,
        ),
        quality=QualityReport.model_validate(quality)
        if isinstance(quality, dict)
        else QualityReport(band="", examinable=True),
        evidence=record.evidence,
        verdict=verdict,
        reasoning=tuple(Claim.model_validate(c) for c in entry.get("claims", ())) if _by_rule(record) else (),
        mask=RunLengths(height=height, width=width, counts=(height * width,)),
        settings={},
        versions={},
    )


def _by_rule(record: Record) -> bool:
    return draft_entry(record).get("worded_by") in _BY_RULE


def _record_problems(sentence: str, record: Record) -> list[str]:
    text = normalise(sentence)
    turns = (
        Message(role="user", content=f"{IMAGE_TOKEN}\nWhat is said?"),
        Message(role="assistant", content=text, evidence_ids=cited_ids(text)),
    )
    bare = record.updated(dialogue=turns, history=())
    return [p.removeprefix("turn 1: ").removesuffix(f": {text!r}") for p in check_record(bare)]


def check_edit(text: str, task: Task) -> tuple[str, tuple[str, ...]]:
    """For `ReviewStore(checker=...)`."""
    return check_text(text, task.record)


def finding_of_claim(claim: DraftClaim, record: Record) -> str:
    """For `import_drafts(finding_of=...)`: sentences made by rule are supported by construction, others are checked."""
    if _by_rule(record):
        return "supported" if claim.evidence_ids else "no_claim"
    return check_text(claim.text, record)[0]
