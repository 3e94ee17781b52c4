"""A draft worded by a writer: one claim a sentence, each checked, and nothing of the data set's label in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from data_tools.drafts import Task, draft
from fakeexplain.examiner import Examiner, Settings
from fakeexplain.reasoning.writers import WriteRequest
from tests.pictures import copy_move, encode, photograph

LIE = "The picture was forged by a thief in 1999 [E99]."


class Small:
    """Says two true sentences and a lie, and keeps what it was shown."""

    name = "small"

    def __init__(self) -> None:
        self.requests: list[WriteRequest] = []

    def write(self, request: WriteRequest) -> Iterator[str]:
        self.requests.append(request)
        ids = request.examination.verdict.deciding_ids
        yield f"The examination found evidence that a part of this picture was altered [{ids[0]}]. {LIE} "
        yield f"The area R1 lies somewhere in the finding [{ids[0]}]."


def test_a_written_draft_is_claims_checked_and_label_blind(tmp_path: Path) -> None:
    forged, mask = copy_move(photograph("astronaut")[:320, :400], size=80, shift=(10, 200))
    (tmp_path / "picture.png").write_bytes(encode(forged))
    writer, examiner = Small(), Examiner(Settings(expert=None), threads=1)
    task = Task(tmp_path / "picture.png", "picture.png", None, tmp_path)
    record = draft(examiner, task, writer=writer)
    entry = record.history[-1]
    claims = [c["text"] for c in entry["claims"]]
    assert len(claims) >= 1
    assert all(len(re.findall(r"[.!?](?:\s|$)", c)) == 1 for c in claims), claims
    assert not any("1999" in c or "thief" in c or "E99" in c for c in claims)
    known = {e.id for e in record.evidence}
    assert all(set(c["evidence_ids"]) <= known for c in entry["claims"])
    assert entry["worded_by"] == "small"
    assert entry["label_blind"] is True
    assert (record.label, record.mask) == ("unknown", None)
    # With a mask beside the picture, and the mask not asked for, the writer sees and the draft holds the same.
    from data_tools.schema import inline_mask

    again = draft(examiner, Task(task.path, task.image, inline_mask(mask), tmp_path), writer=writer)
    assert [c["text"] for c in again.history[-1]["claims"]] == claims
    assert again.mask is None
    assert all("mask" not in r.question.lower() and r.region_id is None for r in writer.requests)
