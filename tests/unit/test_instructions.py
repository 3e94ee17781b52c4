"""Instruction data: generated from scikit-image photographs, checked, then spoilt on purpose."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from data_tools.instructions import seen
from data_tools.instructions.__main__ import app
from data_tools.instructions.captions import read_captions
from data_tools.instructions.dialogues import Dialogues
from data_tools.instructions.grammar import fill, forms
from data_tools.instructions.picture import make
from data_tools.instructions.questions import QUESTIONS, question_forms
from data_tools.instructions.quotes import FORBIDDEN
from data_tools.instructions.verify import check_files, check_record
from data_tools.instructions.write import FILES, Plan, write
from data_tools.schema import Record, read_jsonl
from fakeexplain.errors import SettingsError, SourceError
from fakeexplain.examiner import Examiner
from tests.pictures import photograph

PICTURES = 6


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set") / "photos"
    folder.mkdir()
    labels = folder.parent / "object_masks"
    labels.mkdir()
    for name in ("astronaut", "coffee", "chelsea"):
        rgb = photograph(name)[:300, :400]
        Image.fromarray(rgb).save(folder / f"{name}.jpg", quality=92)
        categories = np.zeros(rgb.shape[:2], np.uint8)
        categories[40:200, 60:180], categories[60:220, 240:360] = 17, 47
        Image.fromarray(categories).save(labels / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def plan(photos: Path) -> Plan:
    return Plan(photos, photos.parent / "object_masks", size=256, seed=3)


@pytest.fixture(scope="module")
def written(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    write(plan, out, pictures=PICTURES, quiet=True)
    return out


@pytest.fixture(scope="module")
def records(written: Path) -> list[Record]:
    return [r for name in FILES for r in read_jsonl(written / name)]


def test_every_answer_agrees_with_its_record(written: Path) -> None:
    checked = list(check_files([written / name for name in FILES]))
    assert len(checked) == PICTURES * 8
    assert [problems for _, _, problems in checked if problems] == []


def test_nothing_is_taught_that_the_checker_of_answers_refuses(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in eleven sentences of the sets before was: the assistant learned to say what was then struck."""
    refused: list[str] = []
    carried = Dialogues._carried

    def noted(self: Dialogues, state: object, sentences: list[str], pointed: object) -> list[str]:
        kept = carried(self, state, sentences, pointed)  # type: ignore[arg-type]
        refused.extend(s for s in sentences if s not in kept)
        return kept

    monkeypatch.setattr(Dialogues, "_carried", noted)
    forge, examiner, turns = plan.forge(), Examiner(threads=1, keep=1), 0
    for index in range(PICTURES):
        writer = Dialogues(make(forge, examiner, index, plan.seed, 0.5), np.random.default_rng(index))
        turns += sum(len(writer.write()[0]) for _ in range(12))
    assert turns > 200
    assert refused == []


def test_the_set_holds_both_kinds_of_pictures_and_all_files(written: Path, records: list[Record]) -> None:
    assert {r.label for r in records} == {"forged", "authentic"}
    assert {r.strata.get("verdict") for r in records if r.strata} >= {"manipulated", "no_evidence"}
    for record in records:
        assert (written / record.image).is_file()
        assert (written / str(record.mask)).is_file()
    assert "Instruction data" in (written / "README.md").read_text()


def test_claims_follow_the_verdict_and_cite(records: list[Record]) -> None:
    dialogues = [r for r in records if r.strata]
    for record in dialogues:
        assert record.dialogue[0].content.count("<image>") == 1
        text = " ".join(m.content for m in record.dialogue if m.role == "assistant")
        assert not FORBIDDEN.search(text)
        if record.strata["verdict"] != "manipulated":
            assert "points to a local" not in text
            assert "<SEG>" not in text
    assert sum(bool(m.evidence_ids) for r in dialogues for m in r.dialogue if m.role == "assistant") > 20


def _spoilt(record: Record, number: int, text: str) -> Record:
    turns = list(record.dialogue)
    ids = tuple(dict.fromkeys(re.findall(r"\[(E\d+)\]", text)))
    turns[number] = turns[number].model_copy(update={"content": text, "evidence_ids": ids})
    return record.model_copy(update={"dialogue": tuple(turns)})


def _digit(match: re.Match[str]) -> str:
    return str((int(match.group(0)) + 3) % 10)


_PLACES = {"upper": "lower", "lower": "middle", "middle": "upper"}
SPOILERS = {
    "figure": lambda t: re.sub(r"(?<=[\s(])\d(?=[\d,.]* )", _digit, re.sub(r"8 by 8", "", t), count=1),
    "id": lambda t: re.sub(r"\[E\d+\]", "[E77]", t, count=1),
    "region": lambda t: re.sub(r"\bR\d+\b", "R88", t, count=1),
    "place": lambda t: re.sub(
        r"\b(upper|lower|middle)(?= (?:left|centre|right))", lambda m: _PLACES[m.group(1)], t, count=1
    ),
    "no_evidence": lambda t: re.sub(r"\bno ((?:measurable )?evidence of)", r"\1", t, count=1),
    "evidence": lambda t: re.sub(r"(?i)\b(found|is|shows) (?:measur\w+ )?evidence\b", r"\1 no evidence", t, count=1),
    "shape": lambda t: re.sub(r"\b(?:compact|elongated|ragged)\b", "in several parts", t, count=1),
    "light": lambda t: re.sub(r"\bcrisp\b", "soft", t),
    "forbidden": lambda t: t + " It is authentic.",
}


@pytest.mark.parametrize(
    "kind", ["figure", "id", "region", "place", "no_evidence", "evidence", "shape", "light", "forbidden"]
)
def test_spoilt_answers_are_caught(records: list[Record], kind: str) -> None:
    tried = caught = 0
    for record in records:
        for number, message in enumerate(record.dialogue):
            text = SPOILERS[kind](message.content)
            if message.role != "assistant" or text == message.content or message.content.startswith("measure "):
                continue
            tried += 1
            caught += bool(check_record(_spoilt(record, number, text)))
    assert tried >= 3
    assert caught == tried


def test_directions_are_compared_with_the_measurement(records: list[Record]) -> None:
    tried = 0
    for record in records:
        for number, message in enumerate(record.dialogue[1:], start=1):
            before = record.dialogue[number - 1]
            if before.role != "tool" or not before.evidence_ids:
                continue
            item = next(e for e in record.evidence if e.id == before.evidence_ids[0])
            if item.reference is None:
                continue
            texts = {word: f"The value is {word} than the reference [{item.id}]." for word in ("higher", "lower")}
            right = "higher" if item.value > item.reference else "lower" if item.value < item.reference else ""
            for word, text in texts.items():
                if message.region is None:
                    tried += 1
                    assert bool(check_record(_spoilt(record, number, text))) == (word != right)
    assert tried > 0


def test_an_operation_nobody_measured_is_caught(records: list[Record]) -> None:
    for record in [r for r in records if r.strata][:12]:
        number = next(i for i, m in enumerate(record.dialogue) if m.role == "assistant" and m.evidence_ids)
        text = f"It fits content that was denoised [{record.dialogue[number].evidence_ids[0]}]."
        wrong = record.model_copy(update={"operations": ("splice",)})
        assert check_record(_spoilt(wrong, number, text))


def test_a_part_that_was_altered_twice_in_the_same_way_may_be_said_to_be(records: list[Record]) -> None:
    record = next(r for r in records if r.history[-1].get("on") == "mask" and r.evidence)
    number = next(i for i, m in enumerate(record.dialogue) if m.role == "assistant" and m.evidence_ids)
    text = "What differs agrees with a part that was pasted in from another picture [E1]."
    for operations, held in ((["splice", "splice"], True), (["splice", "blur"], False)):
        facts = {**record.history[-1], "operations": operations, "fits": "splice"}
        known = record.model_copy(update={"history": (*record.history[:-1], facts)})
        assert bool(check_record(_spoilt(known, number, text))) != held


def test_a_set_of_one_side_of_the_split(plan: Plan, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(40):
        Image.fromarray(photograph("coffee")[:200, number : number + 200]).save(photos / f"p{number}.png")
    sides = {
        side: {p.group for p in replace(plan, photos=photos, size=64, split=side).forge().photos}
        for side in ("all", "training", "validation")
    }
    assert sides["training"]
    assert sides["validation"]
    assert not sides["training"] & sides["validation"]
    assert sides["training"] | sides["validation"] == sides["all"]


def test_tool_turns_bring_evidence_before_it_is_cited(records: list[Record]) -> None:
    seen_tools = 0
    for record in records:
        for number, message in enumerate(record.dialogue):
            if message.role != "tool" or not message.evidence_ids:
                continue
            seen_tools += 1
            assert re.fullmatch(r"measure \w+ on R\d+", record.dialogue[number - 1].content)
            assert message.evidence_ids[0] in record.dialogue[number + 1].evidence_ids
            without = tuple(m for i, m in enumerate(record.dialogue) if i != number)
            moved = record.model_copy(
                update={
                    "dialogue": without,
                    "evidence": tuple(e for e in record.evidence if e.id not in message.evidence_ids),
                }
            )
            assert check_record(moved)
    assert seen_tools > 0


def test_a_stopped_run_goes_on_to_the_same_bytes(plan: Plan, written: Path, tmp_path: Path) -> None:
    short = tmp_path / "short"
    write(plan, short, pictures=2, quiet=True)
    with (short / FILES[2]).open("ab") as file:
        file.write(b'{"image": "half a li')  # what a stop leaves behind
    write(plan, short, pictures=3, quiet=True)
    for name in FILES:
        lines = (written / name).read_bytes().splitlines()
        assert (short / name).read_bytes().splitlines() == lines[: 3 * len(lines) // PICTURES]
    with pytest.raises(SettingsError, match="other settings"):
        write(Plan(plan.photos, plan.object_masks, size=256, seed=4), short, pictures=3, quiet=True)


def test_grammar_forms_are_all_reached_and_slots_stay_closed() -> None:
    template = "{Has|Was {it|this}} {place}{| at all}?"
    rng = np.random.default_rng(0)
    wordings = {fill(template, {"place": "here {a|b}"}, rng) for _ in range(200)}
    assert wordings == {w.replace("<place>", "here {a|b}") for w in forms(template)}
    assert len(wordings) == 6


def test_several_hundred_question_forms_for_every_kind() -> None:
    counts = question_forms()
    assert sum(counts.values()) > 1000
    assert all(count >= 8 for count in counts.values())
    assert not any("{" in form or "|" in form for ts in QUESTIONS.values() for t in ts for form in forms(t))


def test_what_is_seen_is_measured() -> None:
    dark = np.zeros((96, 192, 3), np.uint8)
    dark[:32, :64] = (250, 20, 20)
    facts = seen.look(dark)
    assert (facts["light"], facts["brightest"], facts["format"]) == ("very dark", "upper left", "landscape format")
    assert set(facts["colours"]) == {"black", "red"}
    noise = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
    assert (seen.look(noise)["texture"], seen.look(noise)["sharpness"]) == ("finely textured", "crisp")
    labels = np.zeros((96, 192), np.uint8)
    labels[:40, 120:] = 17
    assert seen.look(dark, labels)["objects"][0]["name"] == "cat"
    assert seen.look(dark, labels)["objects"][0]["place"] == "upper right"


def test_outlines() -> None:
    yy, xx = np.mgrid[:200, :200]
    disc = (yy - 100) ** 2 + (xx - 100) ** 2 < 50**2
    bar = (abs(yy - 100) < 8) & (abs(xx - 100) < 80)
    star = np.hypot(yy - 100, xx - 100) < 50 + 25 * np.sin(12 * np.arctan2(yy - 100, xx - 100))
    two = ((yy - 50) ** 2 + (xx - 50) ** 2 < 400) | ((yy - 150) ** 2 + (xx - 150) ** 2 < 400)
    assert [seen.outline(m)["word"] for m in (disc, bar, star, two)] == [
        "compact",
        "elongated",
        "ragged",
        "in several parts",
    ]


def test_caption_files(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.fromarray(photograph("coffee")).save(tmp_path / "images" / "a.png")
    data = {
        "images": [{"id": 1, "file_name": "a.png", "width": 600, "height": 400}, {"id": 2, "file_name": "gone.png"}],
        "annotations": [{"image_id": 1, "caption": "A cup of\ncoffee."}, {"image_id": 2, "caption": "Nothing."}],
    }
    file = tmp_path / "captions.json"
    file.write_text(json.dumps(data))
    found = list(read_captions(file, "images"))
    assert [r.caption for r in found] == ["A cup of coffee."]
    assert found[0].dialogue[1].content == "A cup of coffee."
    file.write_text("[1]")
    with pytest.raises(SourceError, match="wanted COCO captions"):
        list(read_captions(file, "images"))


def test_commands_report_and_fail_in_one_line(written: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    fine = runner.invoke(app, ["verify", str(written), "--no-look"])
    assert fine.exit_code == 0
    assert f"{PICTURES * 8} of {PICTURES * 8} records" in fine.output
    row = json.loads((written / FILES[0]).read_text().splitlines()[0])
    row["dialogue"][1]["content"] = "It has 12345 pixels."
    (tmp_path / "bad.jsonl").write_text(json.dumps(row) + "\n")
    bad = runner.invoke(app, ["verify", str(tmp_path / "bad.jsonl"), "--no-look"])
    assert bad.exit_code == 1
    assert "12345" in bad.output
    missing = runner.invoke(app, ["write", "--photos", "nowhere", "--out", str(tmp_path / "o"), "--pictures", "1"])
    assert missing.exit_code == 2
    assert "no such folder" in missing.output
