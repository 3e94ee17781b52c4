"""Drafts made by hand on scikit-image's photographs, quick enough for hundreds of tests; no examiner is started."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_tools.review_import import ImportPlan, import_drafts
from data_tools.review_rows import ReviewView
from data_tools.review_store import ReviewStore, Stamp
from data_tools.schema import IMAGE_TOKEN, Message, Record, write_jsonl
from fakeexplain.imaging.regions import region_of_mask
from fakeexplain.records import Claim, Evidence, Verdict
from tests.pictures import PHOTOGRAPHS, encode, photograph

SIZE = 96
QUESTION = f"{IMAGE_TOKEN}\nWhat does the examination of this picture show?"


def square(x: int = 10, y: int = 20, side: int = 30, size: int = SIZE) -> np.ndarray:
    """bool size x size with a square set."""
    mask = np.zeros((size, size), dtype=bool)
    mask[y : y + side, x : x + side] = True
    return mask


def evidence() -> tuple[Evidence, ...]:
    region = region_of_mask(square(), "R1")
    noise = Evidence(
        id="E1",
        instrument="noise",
        instrument_version="1",
        kind="detection",
        trace="noise_high",
        quantity="noise",
        value=3.5,
        unit="grey levels",
        region=region,
        log10_nfa=-6.0,
    )
    quiet = Evidence(
        id="E2", instrument="copy_move", instrument_version="1", kind="abstention", trace="", quantity="", reason="none"
    )
    return noise, quiet


def verdict() -> Verdict:
    return Verdict(
        label="manipulated",
        probability=0.9,
        log10_nfa=-6.0,
        threshold_log10=-2.0,
        false_alarms=0.02,
        deciding_ids=("E1",),
        reason="E1 passed.",
        probability_basis="counted",
    )


def draft(image: str, *, number: int = 0, worded_by: str = "test writer", turns: int = 1) -> Record:
    """A draft with four claims: two of the conclusion, one that is wrong, one that cites nothing."""
    claims = [
        Claim(text="The evidence points to a local alteration [E1].", evidence_ids=("E1",), section="conclusion"),
        Claim(text=f"The noise there is 3.5 grey levels in picture {number} [E1].", evidence_ids=("E1",)),
        Claim(text="Nothing repeats [E2].", evidence_ids=("E2",)),
        Claim(text="It was saved once more.", section="not_tested"),
    ]
    cut = len(claims) if turns == 1 else 2
    dialogue = [Message(role="user", content=QUESTION), _answer(claims[:cut])]
    if turns == 2:
        dialogue += [Message(role="user", content="And what else?"), _answer(claims[cut:])]
    entry = {
        "on": "draft",
        "label_blind": True,
        "worded_by": worded_by,
        "claims": [c.model_dump(mode="json") for c in claims],
        "verdict": verdict().model_dump(mode="json"),
        "versions": {"fakeexplain": "test"},
    }
    return Record(
        image=image,
        width=SIZE,
        height=SIZE,
        dialogue=tuple(dialogue),
        description=" ".join(c.text for c in claims),
        evidence=evidence(),
        history=(entry,),
        origin="draft",
    )


def _answer(claims: list[Claim]) -> Message:
    ids = tuple(dict.fromkeys(i for c in claims for i in c.evidence_ids))
    return Message(role="assistant", content=" ".join(c.text for c in claims), evidence_ids=ids)


def write_set(folder: Path, count: int = 3, **options: object) -> Path:
    """`count` pictures and drafts.jsonl in a folder; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    records = []
    for number in range(count):
        name = f"picture{number}.png"
        row, column = 8 * (number % 20), 16 * (number // 20)
        part = photograph(PHOTOGRAPHS[number % 4])[row : row + SIZE, column + 40 : column + 40 + SIZE]
        (folder / name).write_bytes(encode(part))
        records.append(draft(name, number=number, **options))  # type: ignore[arg-type]
    write_jsonl(records, folder / "drafts.jsonl")
    return folder / "drafts.jsonl"


def fresh_store(folder: Path, count: int = 3, plan: ImportPlan | None = None, **options: object) -> ReviewStore:
    store = ReviewStore(folder / "reviews.sqlite", create=True)
    outcome = import_drafts(store, write_set(folder / "set", count, **options), plan)
    assert (outcome.added, outcome.problems) == (count, ())
    return store


def review_all(
    store: ReviewStore, view: ReviewView, who: int, *, verdict: str = "manipulated", decision: str = "accept"
) -> ReviewView:
    """Decides every claim alike, gives the verdict, marks a square and finishes."""
    if view.state.stage == "opinion":
        store.set_verdict(view.id, who, verdict, Stamp())
        view = store.reveal(view.id, who, Stamp())
    for claim in view.claims:
        values = {"decision": decision} | ({"reason": "false"} if decision == "reject" else {})
        store.decide(view.id, who, claim.number, values, Stamp(seconds=1.5))
    store.set_verdict(view.id, who, verdict, Stamp())
    store.set_mask(view.id, who, square(), Stamp())
    return store.finish(view.id, who, Stamp(seconds=2.0))
