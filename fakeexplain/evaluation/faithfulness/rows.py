"""What one picture gave in the faithfulness benchmark, as one line of JSON.

Left out: how rows come about (`protocol`) and what is counted over them (`tables`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One question and what its answer was worth.

    Attributes:
        form: number of the question. topic, question, text: as asked and answered.
        missing: facts asked for that are not in the answer.
        schema, verdict: problems, see `reading`.
        sentences, own: shown; of them written by the model and not by rule.
        factual, cited: sentences that state a fact; of them those that cite.
        invented: shown sentences that say what no record holds, with the problem.
        proposed, proposed_invented: the same for what the writer proposed, before repair.
        struck: sentences that the checker replaced or dropped.
        error: why there is no answer, "" if there is one.
        seconds: the answer took.
    """

    form: int
    topic: str
    question: str
    text: str = ""
    missing: tuple[str, ...] = ()
    schema: tuple[str, ...] = ()
    verdict: tuple[str, ...] = ()
    sentences: int = 0
    own: int = 0
    factual: int = 0
    cited: int = 0
    invented: tuple[str, ...] = ()
    proposed: int = 0
    proposed_invented: tuple[str, ...] = ()
    struck: int = 0
    error: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Probe:
    """One yes-or-no question about a box.

    Attributes:
        kind: see `boxes`. truth: whether yes is right. text: the answer.
        said: yes or no, None for neither; that the region stands out when it is tested by itself is a yes, too.
        of_findings: the same of what is said about findings of the whole picture alone.
    """

    kind: str
    truth: bool
    said: bool | None
    text: str
    of_findings: bool | None = None


@dataclass(frozen=True)
class Trial:
    """One experiment on a picture.

    Attributes:
        name: "restoration", "control", "swap", "pressure", "jpeg 90", ...
        passed: whether what had to happen did; None where the trial could not be counted, `words` says why.
        words: what happened, with the sentence at fault if there is one.
        figures: further numbers.
    """

    name: str
    passed: bool | None
    words: str = ""
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Pointed:
    """A region somebody asked to be shown: "altered" or "source" (of a copy), and IoU with its truth.

    Attributes:
        iou: of what `<SEG>` was decoded to; None where the answer pointed at nothing.
        expert: of the expert's map at 0.5. finding: of what the verdict rests on. None where there is none.
    """

    kind: str
    iou: float | None
    expert: float | None
    finding: float | None


@dataclass(frozen=True)
class Row:
    """What one picture gave.

    Attributes:
        dataset, image, stamp: the key. forged: the truth. label, probability: of the verdict.
        records, recomputed: evidence records cited in any answer; of them those that came out the same again.
        not_recomputed: what differed.
        claims: `claims.ClaimScores` of the answers to where and show, as a dict; {} when nothing could be asked.
        pointed: regions that the writer was asked to show, forged pictures only.
        error: why the picture could not be examined; every measure then counts it as failed where it can.
    """

    dataset: str
    image: str
    stamp: str
    forged: bool
    label: str = ""
    probability: float = 0.0
    asked: tuple[Asked, ...] = ()
    records: int = 0
    recomputed: int = 0
    not_recomputed: tuple[str, ...] = ()
    claims: dict[str, float] = field(default_factory=dict)
    probes: tuple[Probe, ...] = ()
    pointed: tuple[Pointed, ...] = ()
    trials: tuple[Trial, ...] = ()
    writer: str = ""
    error: str = ""
    seconds: float = 0.0

    @property
    def key(self) -> tuple[str, str, str]:
        return self.dataset, self.image, self.stamp


def row_to_json(row: Row) -> str:
    return json.dumps(asdict(row), ensure_ascii=False)


def row_from_json(line: str) -> Row:
    """Inverse of `row_to_json`."""
    value: dict[str, Any] = json.loads(line)
    value["asked"] = tuple(Asked(**{k: _tuple(v) for k, v in a.items()}) for a in value["asked"])
    # rows of before regions were tested by themselves have one reading of an answer
    value["probes"] = tuple(Probe(**{"of_findings": p["said"], **p}) for p in value["probes"])
    value["pointed"] = tuple(Pointed(**p) for p in value["pointed"])
    value["trials"] = tuple(Trial(**t) for t in value["trials"])
    return Row(**{k: _tuple(v) for k, v in value.items()})


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
