"""A case as it is shown to somebody: in full, or with fields left out; what reports, listings and bags are made from.

Left out: writing anything (`export`).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass

from fakeexplain.casework.case import Case
from fakeexplain.casework.errors import CaseDamagedError
from fakeexplain.casework.log import Line, LogReading, read_log
from fakeexplain.casework.records import CaseState
from fakeexplain.casework.redaction import SHORTEST, opened, redacted_copy, redaction_record, sensitive_text
from fakeexplain.casework.sealing import Opening, nodes, sha256_of, shortened
from fakeexplain.casework.storage import read_regular, shown
from fakeexplain.casework.transaction import EXAMINATIONS, read_case_log, state_of
from fakeexplain.records import Examination

REMARK = "remark"


@dataclass(frozen=True)
class View:
    """A case as it is shown to somebody.

    Attributes:
        case: where the files are.
        reading: its log; redacted, some openings are gone.
        state: the log replayed; redacted fields read "[redacted:KIND:SHA256]".
        redacted: examination id -> redacted copy of examination.json; None for a full view.
        fields: kind -> number of fields left out.
    """

    case: Case
    reading: LogReading
    state: CaseState
    redacted: dict[str, bytes] | None
    fields: dict[str, int]

    def examination(self, number: str) -> Examination:
        """As stored; redacted fields shortened for people. Raises CaseDamagedError."""
        if self.redacted is None:
            return self.case.examination(self.state, number)
        return Examination.model_validate(shortened(json.loads(self.redacted[number])))


def view_of(case: Case, *, redact: bool = False, redact_remarks: bool = False) -> View:
    """The case in full or redacted.

    Args:
        redact: leave out every kind of `redaction.KINDS` but remarks, and remarks that repeat a value left out.
        redact_remarks: leave out all remarks and reasons, too.

    Raises:
        CaseDamagedError: the log or an examination is not as recorded.
    """
    reading = read_case_log(case.path)
    state = state_of(case.path, reading)
    if not redact:
        return View(case, reading, state, None, {})
    copies, values = {}, {}
    for number in state.examinations:
        folder = case.path / EXAMINATIONS / number
        try:
            text, salts = read_regular(folder / "examination.json"), read_regular(folder / "salts.json")
            copies[number] = redacted_copy(text, salts)
            found = opened(text, salts)
        except (OSError, ValueError, TypeError, AttributeError, LookupError) as error:
            raise CaseDamagedError(f"{shown(folder)}: cannot be redacted ({error}); see `case verify`") from None
        if sha256_of(copies[number]) != state.examinations[number].examined.redacted_sha256:
            raise CaseDamagedError(f"{shown(folder)}: was changed, see `case verify`")
        values.update(_texts(found.values()))
    values.update(_texts(o for line in reading.lines for o in line.openings.values() if o.kind != REMARK))
    lines = [_redacted_line(line, values, redact_remarks) for line in reading.lines]
    hidden = read_log(b"".join(line.encode() for line in lines))
    hidden_state = state_of(case.path, hidden)
    fields = json.loads(redaction_record(hidden, hidden_state, copies))["fields"]
    return View(case, hidden, hidden_state, copies, fields)


def _texts(openings: Iterable[Opening]) -> dict[str, str]:
    """Text of each value, case folded -> kind; short ones are left out, for they are in every sentence."""
    pairs = (
        (str(v).casefold(), o.kind) for o in openings for _, v in nodes(o.value) if isinstance(v, str | int | float)
    )
    return {text: kind for text, kind in pairs if len(text) >= SHORTEST and text not in ("true", "false")}


def _redacted_line(line: Line, values: dict[str, str], redact_remarks: bool) -> Line:
    kept = {
        pointer: opening
        for pointer, opening in line.openings.items()
        if opening.kind == REMARK and not redact_remarks and sensitive_text(str(opening.value), values) is None
    }
    return dataclasses.replace(line, openings=kept)
