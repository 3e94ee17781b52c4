"""Exports: bags that validate and can be examined again, redaction that hides and still verifies, escaped reports."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fakeexplain.casework.bag import bag_problems, manifest_of
from fakeexplain.casework.case import Case
from fakeexplain.casework.errors import CaseDamagedError, CaseError
from fakeexplain.casework.export import case_json, pack, write_report
from fakeexplain.casework.redaction import sensitive_fields
from fakeexplain.casework.sealing import sha256_of
from fakeexplain.casework.verify import verify
from fakeexplain.casework.view import view_of
from fakeexplain.errors import OutputError, SettingsError
from fakeexplain.examiner import Examiner
from fakeexplain.records import Examination
from tests.unit.cases import FAST, SECRETS, new_case, private_jpeg, small_png
from tests.unit.metadata_files import jpeg
from tests.unit.test_report import HOSTILE


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Case:
    case = new_case(tmp_path_factory.mktemp("export"), private_jpeg(), small_png(), examine=True)
    case.note("I1", "Jane Q. Witness says she took it", evidence="E1", status="accepted", actor="Ada Lovelace")
    case.note("I1", "harmless remark", actor="Al")
    return case


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_bag_verifies_and_can_be_examined_again(case, tmp_path):
    done = pack(case, tmp_path / "bag")
    found = verify(tmp_path / "bag", expect=done.head_inside, recompute_all=True)
    assert found.intact, found.problems
    assert found.recomputed
    assert not found.redacted
    inside = content(tmp_path / "bag/data/case")
    assert {n: b for n, b in content(case.path).items() if n != "lock" and n != "log.jsonl"} == {
        n: b for n, b in inside.items() if n != "log.jsonl"
    }
    last = case.state().entries[-1]
    assert (last.action, last.payload["head"]) == ("pack", done.head_inside)
    assert last.payload["manifest_sha256"] == sha256_of((tmp_path / "bag/manifest-sha256.txt").read_bytes())


def test_the_reference_library_accepts_bags_and_finds_changes(case, tmp_path):
    bagit = pytest.importorskip("bagit")
    pack(case, tmp_path / "bag", redact=True)
    bagit.Bag(str(tmp_path / "bag")).validate()
    log = tmp_path / "bag/data/case/log.jsonl"
    log.write_bytes(log.read_bytes()[:-1] + b" ")
    with pytest.raises(bagit.BagValidationError):
        bagit.Bag(str(tmp_path / "bag")).validate()


def test_a_redacted_bag_hides_and_still_verifies(case, tmp_path):
    full = verify(case.path).head
    done = pack(case, tmp_path / "bag", redact=True, actor="Ada Lovelace")
    assert done.head_inside == full  # the very chain of the case
    found = verify(tmp_path / "bag", expect=full)
    assert found.intact, found.problems
    assert {"gps", "name", "file name", "path", "text", "device id", "remark"} <= set(found.redacted)
    everything = b"\n".join([*content(tmp_path / "bag").values(), *(n.encode() for n in content(tmp_path / "bag"))])
    for secret in (*SECRETS, "Ada Lovelace", "received 1.bin", str(tmp_path.parent), "Test"):
        assert secret.encode() not in everything, secret
    assert b"harmless remark" in everything
    log = [json.loads(line) for line in (tmp_path / "bag/data/case/log.jsonl").read_bytes().splitlines()]
    assert {opening["kind"] for line in log for opening in line["open"].values()} == {"remark"}  # short names go, too
    assert not (tmp_path / "bag/data/case/originals").exists()
    item = case.state().items["I1"]
    assert item.sha256.encode() in everything  # its hash goes along
    assert item.sha256 not in {sha256_of(b) for b in content(tmp_path / "bag").values()}
    redacted = Examination.model_validate_json(
        (tmp_path / "bag/data/case/examinations/X1/examination.json").read_bytes()
    )
    stored = case.examination(case.state(), "X1")
    assert redacted.verdict == stored.verdict
    assert [e.trace for e in redacted.evidence] == [e.trace for e in stored.evidence]
    assert redacted.evidence[0].value == "Canon EOS 5D"
    with pytest.raises(SettingsError, match="left out"):
        verify(tmp_path / "bag", recompute_all=True)
    pack(case, tmp_path / "silent", redact=True, redact_remarks=True)
    assert b"harmless remark" not in b"".join(content(tmp_path / "silent").values())


def reseal(bag: Path) -> None:
    """Makes the manifests fit again, as an attacker would."""
    for manifest in ("manifest-sha256.txt", "tagmanifest-sha256.txt"):
        inside = manifest.startswith("manifest")
        files = {n: sha256_of(b) for n, b in content(bag).items() if n.startswith("data/") is inside}
        (bag / manifest).write_bytes(manifest_of({n: h for n, h in files.items() if n != "tagmanifest-sha256.txt"}))
    size = sum(len(b) for n, b in content(bag).items() if n.startswith("data/"))
    count = sum(n.startswith("data/") for n in content(bag))
    info = re.sub(r"Payload-Oxum: .*", f"Payload-Oxum: {size}.{count}", (bag / "bag-info.txt").read_text())
    (bag / "bag-info.txt").write_text(info)
    if inside is False:
        tags = {n: sha256_of(b) for n, b in content(bag).items() if not n.startswith("data/")}
        tags.pop("tagmanifest-sha256.txt")
        (bag / "tagmanifest-sha256.txt").write_bytes(manifest_of(tags))


def test_a_redacted_bag_cannot_be_bent(case, tmp_path):
    pack(case, tmp_path / "bag", redact=True)
    inside = "data/case/examinations/X1/examination.json"

    def bent(change, wanted):
        copy = Path(shutil.copytree(tmp_path / "bag", tmp_path / f"bent {len(list(tmp_path.iterdir()))}"))
        change(copy)
        reseal(copy)
        assert not bag_problems(copy)
        text = "\n".join(verify(copy).problems)
        assert wanted in text, text

    def other_figure(bag):
        path = bag / inside
        path.write_bytes(path.read_bytes().replace(b"Canon EOS 5D", b"Nikon D70 xx"))

    def drop_examination(bag):
        (bag / inside).unlink()

    def claim_less(bag):
        path = bag / "data/case/redaction.json"
        path.write_bytes(path.read_bytes().replace(b'"gps":', b'"gpx":'))

    def drop_remark(bag):
        path = bag / "data/case/log.jsonl"
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        lines[-4]["open"] = {}
        for line in lines:
            line["open"] = {}
        path.write_bytes(b"".join(json.dumps(x, sort_keys=True, separators=(",", ":")).encode() + b"\n" for x in lines))

    bent(other_figure, "is not the redacted copy that the log names")
    bent(drop_examination, "examination.json: is missing")
    bent(claim_less, "does not list what was left out")
    bent(drop_remark, "does not list what was left out")
    bent(lambda bag: (bag / "data/case/redaction.json").unlink(), "lacks the openings")
    bent(lambda bag: (bag / "data/case/extra").write_text("x"), "extra: is not in the log")


def test_bags_with_anything_else_are_found(case, tmp_path):
    pack(case, tmp_path / "bag")
    (tmp_path / "bag/data/extra").write_text("x")
    (tmp_path / "bag/note.txt").write_text("x")
    (tmp_path / "bag/data/link").symlink_to("/etc/hostname")
    (tmp_path / "bag/data/report/index.html").unlink()
    text = "\n".join(verify(tmp_path / "bag").problems)
    for wanted in (
        "data/extra is not listed in manifest",
        "note.txt is not listed in tagmanifest",
        "data/link is no regular file",
        "data/report/index.html is listed in manifest-sha256.txt but missing",
        "does not announce",
    ):
        assert wanted in text
    for name in ("bagit.txt", "manifest-sha256.txt", "tagmanifest-sha256.txt", "bag-info.txt"):
        shutil.rmtree(tmp_path / "bag")
        pack(case, tmp_path / "bag")
        path = tmp_path / "bag" / name
        path.write_bytes(path.read_bytes().replace(b"a", b"b", 1))
        assert not verify(tmp_path / "bag").intact


def test_nothing_is_added_to_a_bag(case, tmp_path):
    for redact in (False, True):
        bag = tmp_path / f"bag {redact}"
        pack(case, bag, redact=redact)
        shutil.copytree(bag / "data/case", tmp_path / f"copy {redact}")
        with pytest.raises(CaseError, match="part of a bag"):
            Case(bag / "data/case").note("I1", "remark")


def test_places_that_are_taken_or_inside_the_case(case, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        pack(case, tmp_path / "full")
    with pytest.raises(SettingsError, match="inside the case"):
        write_report(case, case.path / "report")
    (tmp_path / "way").symlink_to(case.path)
    with pytest.raises(SettingsError, match="inside the case"):
        pack(case, tmp_path / "way" / "bag")
    assert (tmp_path / "full/file").read_text() == "mine"
    assert verify(case.path).intact


def test_a_damaged_case_is_not_packed(case, tmp_path):
    copy = Path(shutil.copytree(case.path, tmp_path / "copy"))
    next((copy / "originals").iterdir()).unlink()
    with pytest.raises(CaseDamagedError, match="nothing was packed"):
        pack(Case(copy), tmp_path / "bag")
    assert not (tmp_path / "bag").exists()


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [v or "" for k, v in attributes if k in ("href", "src")]


def test_the_report_is_escaped_and_self_contained(tmp_path):
    case, _ = Case.create(tmp_path / "case", title=HOSTILE, actor=HOSTILE)
    outside = tmp_path / HOSTILE.replace("/", "_")
    outside.write_bytes(small_png())
    case.add(outside, actor=HOSTILE)
    case.examine("I1", Examiner(FAST), actor=HOSTILE)
    case.note("I1", HOSTILE, evidence="E1", status="rejected", actor=HOSTILE)
    case.note("I1", HOSTILE)
    done = write_report(case, tmp_path / "report")
    assert sorted(content(done.path)) == ["index.html", "pages/X1.html"]
    assert (done.path / "pages/X1.html").read_bytes() == (case.path / "examinations/X1/report.html").read_bytes()
    page = (done.path / "index.html").read_text()
    parser = _Tags()
    parser.feed(page)
    assert not {"script", "iframe", "object", "form", "link"} & set(parser.tags)
    assert all(link.startswith("data:image/jpeg") or link == "pages/X1.html" for link in parser.links)
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "rejected" in page
    assert done.head_inside in page
    assert case.state().items["I1"].sha256 in page


def test_a_redacted_report_and_json_hide_as_the_bag_does(case, tmp_path):
    write_report(case, tmp_path / "report", redact=True)
    shown = b"".join(content(tmp_path / "report").values()).decode()
    exported = json.dumps(case_json(view_of(case, redact=True)))
    for text in (shown, exported):
        for secret in (*SECRETS, "Ada Lovelace", "received 1.bin"):
            assert secret not in text, secret
    full = case_json(view_of(case))
    assert full["items"][0]["receipts"][0]["received_name"] == "received 1.bin"
    assert full["items"][0]["examinations"][0]["statuses"] == {"E1": "accepted"}
    assert full["redacted"] == {}
    assert Examination.model_validate(full["items"][0]["examinations"][0]["examination"]).source.format == "JPEG"


@pytest.mark.parametrize("word", ["manipulated", "JPEG", "detection", "metadata", "fact"])
def test_a_file_cannot_blot_out_the_verdict(word):
    examination = Examiner(FAST).examine(jpeg(comment=word.encode()))
    document = json.loads(examination.to_json())
    sealed = sensitive_fields(document)
    assert not {p for p in sealed if p.startswith("/verdict/label") or p.endswith(("/kind", "/format", "/instrument"))}


def test_free_names_of_entries_are_hidden_with_their_values():
    document = json.loads(Examiner(FAST).examine(private_jpeg()).to_json())
    document["evidence"][0]["details"]["text of Jane Doe"] = 5
    assert sensitive_fields(document)["/evidence/0/details"] == "text"
    document["evidence"][0]["details"] = {"BodySerialNumber": 123456, "shots": 17, "nested": {"Jane Doe": 1}}
    found = sensitive_fields(document)
    assert found["/evidence/0/details/BodySerialNumber"] == "serial number"
    assert found["/evidence/0/details/nested"] == "text"
    assert "/evidence/0/details/shots" not in found
