from __future__ import annotations

import pytest

from app import casebook, handlers
from app.errors import AppError
from app.service import Progress, Service, ServiceLimits
from fakeexplain.casework.case import Case
from fakeexplain.casework.verify import verify
from tests.unit.app.conftest import QUICK


def test_a_case_keeps_original_finding_status_and_remark(service, examined, forged_png):
    handlers.note(service, examined.id, "sent by the agency", author="A")
    handlers.note(service, examined.id, "pattern of the wall", evidence_id="E1", status="rejected")
    events = list(casebook.save_events(service, examined.id, "bridge 2024", actor="A", title="Bridge"))
    saved = events[-1]
    assert any(isinstance(e, Progress) for e in events)
    assert (saved.item, saved.examination, saved.notes) == ("I1", "X1", 2)
    case = Case(saved.path)
    state = case.state()
    assert state.title == "Bridge"
    assert case.original(state.items["I1"]) == forged_png
    assert state.items["I1"].name == "forged.png"
    assert case.examination(state, "X1").verdict == service.picture(examined.id).examination.verdict
    assert state.status_of("X1", "E1").note.status == "rejected"
    assert {r.note.text for r in state.remarks} == {"sent by the agency (A)", "pattern of the wall"}
    found = verify(saved.path)
    assert found.intact
    assert found.head == saved.head

    again = casebook.save_to_case(service, examined.id, "bridge 2024", actor="A")
    assert (again.item, again.examination, again.notes) == ("I1", "X1", 0)
    handlers.note(service, examined.id, "one more", author="A")
    assert casebook.save_to_case(service, examined.id, "bridge 2024", actor="A").notes == 1
    assert verify(saved.path).intact
    assert casebook.list_cases(service) == ("bridge 2024",)


def test_a_case_follows_a_finding_back_to_an_earlier_status(service, examined):
    def save(status: str) -> str:
        handlers.note(service, examined.id, "", evidence_id="E1", status=status)
        saved = casebook.save_to_case(service, examined.id, "back and forth")
        return Case(saved.path).state().status_of(saved.examination, "E1").note.status

    assert [save(s) for s in ("accepted", "rejected", "accepted")] == ["accepted", "rejected", "accepted"]
    assert casebook.save_to_case(service, examined.id, "back and forth").notes == 0


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "a/b", "a\\b", "/etc", ".hidden", "x" * 81, "a\nb", "a.", "~root", "\x00"]
)
def test_names_lead_nowhere_else(service, examined, name):
    with pytest.raises(AppError, match="case name"):
        casebook.save_to_case(service, examined.id, name)


def test_without_a_folder_for_cases(tmp_path):
    with Service(QUICK, ServiceLimits(workers=1), folder=tmp_path) as made:
        assert casebook.list_cases(made) == ()
        with pytest.raises(AppError, match="--cases"):
            casebook.case_path(made, "a")
