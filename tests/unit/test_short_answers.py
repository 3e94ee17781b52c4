"""Short answers that only the map or the picture can give: facts of known masks, reading back, balance, spoilt ones."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from data_tools.instructions import seen
from data_tools.instructions import short_phrases as p
from data_tools.instructions.__main__ import app
from data_tools.instructions.grammar import forms
from data_tools.instructions.short_answers import SHORT_FILE, write_short
from data_tools.instructions.short_check import check_short, read_question
from data_tools.instructions.short_facts import (
    CELLS,
    HALVES,
    NOTHING,
    MarkFacts,
    SightFacts,
    mark_answer,
    sight_answer,
    step_of,
)
from data_tools.instructions.verify import check_record
from data_tools.schema import Record, read_jsonl, write_jsonl
from fakeexplain.errors import SettingsError
from tests.pictures import photograph
from training.assistant_data import Row, expand
from training.assistant_prompts import dialogues_of
from training.assistant_samples import DrawnMap

SIDE = 96
PICTURES = 60


def box(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[y0:y1, x0:x1] = True
    return mask


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of crops with what is seen in them, as `write` leaves it in alignment.jsonl."""
    root = tmp_path_factory.mktemp("set")
    (root / "images").mkdir()
    (root / "masks").mkdir()
    records = []
    for number in range(PICTURES):
        rgb = photograph(("astronaut", "coffee", "chelsea", "rocket")[number % 4])
        rng = np.random.default_rng(number)
        y, x = int(rng.integers(rgb.shape[0] - SIDE)), int(rng.integers(rgb.shape[1] - SIDE))
        crop = (rgb[y : y + SIDE, x : x + SIDE] * rng.uniform(0.4, 1.0)).astype(np.uint8)
        labels = np.zeros((SIDE, SIDE), np.uint8)
        labels[10:60, 5:40] = (17, 47)[number % 2]
        Image.fromarray(crop).save(root / "images" / f"{number}.png")
        forged = number % 2 == 0
        Image.fromarray(box(8, 8, 24, 24)).save(root / "masks" / f"{number}.png")
        record = Record(
            image=f"images/{number}.png",
            width=SIDE,
            height=SIDE,
            label="forged" if forged else "authentic",
            mask=f"masks/{number}.png" if forged else None,
            history=({"on": "seen", **seen.look(crop, labels)},),
        )
        records.append(record)
    write_jsonl(iter(records), root / "alignment.jsonl")
    write_short(root, per_picture=8, seed=1)
    return root


@pytest.fixture(scope="module")
def records(folder: Path) -> list[Record]:
    return list(read_jsonl(folder / SHORT_FILE))


def test_facts_of_known_masks() -> None:
    corner, middle = MarkFacts.of(box(0, 0, 20, 20)), MarkFacts.of(box(38, 38, 58, 58), peak=0.3)
    assert (corner.place, corner.cell, corner.left, corner.upper) == ("upper left", "upper left", True, True)
    assert (corner.step, corner.size, corner.parts, corner.shape) == ("2 to 5 %", "medium-sized", 1, "compact")
    assert (corner.border, corner.middle, corner.clear) == (True, False, True)
    assert (middle.place, middle.left, middle.border, middle.middle, middle.clear) == (
        *("centre", None, False, True, False),
    )
    bar = MarkFacts.of(box(0, 40, 90, 50))
    assert (bar.place, bar.shape) == ("across the middle part", "elongated")
    two = MarkFacts.of(box(5, 40, 25, 60) | box(60, 40, 90, 60))
    assert (two.parts, two.shape) == (2, None)
    assert MarkFacts.of(box(0, 0, 0, 0)) == MarkFacts(False)


def test_what_hangs_on_a_pixel_has_no_answer() -> None:
    on_a_line, near_the_border = MarkFacts.of(box(22, 10, 42, 30)), MarkFacts.of(box(2, 40, 22, 60))
    assert (on_a_line.place, on_a_line.cell) == (None, None)
    assert mark_answer("where", "", on_a_line) is None
    assert mark_answer("cell", "upper left", on_a_line) is None
    assert near_the_border.border is None
    assert MarkFacts.of(box(5, 5, 20, 20), peak=0.6).clear is None


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.004, "under 1 %"),
        (0.012, "1 to 2 %"),
        (0.18, "10 to 20 %"),
        (0.199, None),
        (0.22, "20 to 40 %"),
        (1, "over 40 %"),
    ],
)
def test_steps(share: float, words: str | None) -> None:
    assert step_of(share) == words


def test_answers_about_a_mask_and_about_none() -> None:
    facts = MarkFacts.of(box(0, 0, 20, 20))
    asked = {
        ("where", ""): "In the upper left.",
        ("side", ""): "To the left.",
        ("height", ""): "In the upper half.",
        ("half", "right"): "No.",
        ("half", "upper"): "Yes.",
        ("cell", "centre"): "No.",
        ("share", ""): "2 to 5 %.",
        ("size", ""): "Medium-sized.",
        ("border", ""): "Yes.",
        ("all", ""): "It lies in the upper left, covers 2 to 5 %, has one part, compact and touches the border.",
    }
    assert {key: mark_answer(*key, facts) for key in asked} == asked
    nothing = MarkFacts.of(box(0, 0, 0, 0))
    assert mark_answer("marked", "", nothing) == "No."
    assert {mark_answer(k, "", nothing) for k in ("where", "share", "parts", "all")} == {NOTHING}


def test_answers_about_a_picture() -> None:
    dark = np.zeros((96, 96, 3), np.uint8)
    dark[:32, :32] = (250, 20, 20)
    labels = np.zeros((96, 96), np.uint8)
    labels[:40, 60:] = 17
    facts = SightFacts.of(seen.look(dark, labels))
    asked = {
        ("light", ""): "Dark.",
        ("brightest", ""): "In the upper left.",
        ("colour", ""): "Black.",
        ("has_colour", "red"): "Yes.",
        ("has_colour", "green"): "No.",
        ("object", "cat"): "Yes.",
        ("object", "dog"): "No.",
        ("object_side", "cat"): "On the right.",
    }
    assert {key: sight_answer(*key, facts) for key in asked} == asked


@pytest.mark.parametrize(("questions", "about_map"), [(p.MARK_QUESTIONS, True), (p.SIGHT_QUESTIONS, False)])
def test_every_wording_is_recognised_as_its_question(questions: dict[str, tuple[str, ...]], about_map: bool) -> None:
    names = {"half": HALVES, "cell": CELLS, "has_colour": seen.COLOURS, "object": ("cat",), "object_side": ("dog",)}
    for kind, templates in questions.items():
        for wording in set().union(*map(forms, templates)):
            for name in names.get(kind, ("",)):
                for it in (p.MARKED_AREA, "R1"):
                    text = wording.replace("<it>", it).replace("<name>", name)
                    assert read_question(text, about_map) == (kind, name), text


def test_every_record_agrees_and_none_repeats_a_group(records: list[Record], folder: Path) -> None:
    assert len(records) > 7 * PICTURES
    assert [check_record(r, folder) for r in records if check_record(r, folder)] == []
    groups = {kind: group for group, kinds in {**p.MARK_GROUPS, **p.SIGHT_GROUPS}.items() for kind in kinds}
    for record in records:
        asked = [kind for kind, _, _ in _exchanges(record)]
        assert len({groups.get(k, k) for k in asked}) == len(asked)
        assert "marked" not in asked[1:]
        assert len(asked) == 1 or NOTHING not in [m.content for m in record.dialogue]


def _exchanges(record: Record) -> list[tuple[str, str, str]]:
    about_map = record.dialogue[0].region is not None
    found = []
    for question, answer in zip(record.dialogue[::2], record.dialogue[1::2], strict=True):
        asked = read_question(question.content.replace("<image>", "").strip(), about_map)
        assert asked is not None
        found.append((*asked, answer.content))
    return found


def test_any_other_answer_of_the_same_question_is_caught(records: list[Record]) -> None:
    answers = defaultdict(set)
    for record in records:
        for kind, _, answer in _exchanges(record):
            answers[kind].add(answer)
    tried = 0
    for record in records[:200]:
        for number, (kind, _, answer) in enumerate(_exchanges(record)):
            for other in answers[kind] - {answer}:
                turns = list(record.dialogue)
                turns[2 * number + 1] = turns[2 * number + 1].model_copy(update={"content": other})
                assert check_short(record.model_copy(update={"dialogue": tuple(turns)}))
                tried += 1
    assert tried > 500


def test_yes_and_no_are_about_as_frequent(records: list[Record]) -> None:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        for kind, _, answer in _exchanges(record):
            counts[kind][answer] += 1
    for kind in ("marked", "half", "cell", "border", "has_colour", "side", "height", "strength"):
        common = [n for a, n in counts[kind].most_common() if a != NOTHING]
        assert sum(common) >= 12, kind
        assert max(common) <= 0.68 * sum(common), (kind, counts[kind])
    assert len(counts["where"]) >= 8


def test_nothing_in_the_prompt_gives_the_answer_away(records: list[Record], folder: Path) -> None:
    for number, record in enumerate(records):
        (dialogue,) = dialogues_of(Row(number, record, folder))
        for message in dialogue.messages:
            assert not re.search(r"\bE\d|\(\d+, \d+", message["content"])
            if message["role"] == "user":
                assert not re.search(r"\d", message["content"].replace("R1", ""))


def test_training_reads_the_area_as_the_map_or_as_a_region(records: list[Record], folder: Path) -> None:
    assert folder / SHORT_FILE in expand(folder)
    kinds: Counter[str] = Counter()
    for number, record in enumerate(records):
        entry = record.history[-1]
        if entry["on"] != "map":
            continue
        kinds[entry["read"]] += 1
        (dialogue,) = dialogues_of(Row(number, record, folder))
        mask = record.dialogue[0].region.mask.mask()  # type: ignore[union-attr]
        if entry["read"] == "map":
            assert dialogue.given is not None
            assert np.array_equal(dialogue.given, mask)
            assert (dialogue.peak, dialogue.regions) == (entry["peak"], {})
            assert "<region>" not in dialogue.messages[0]["content"]
        else:
            assert dialogue.given is None
            assert np.array_equal(dialogue.regions["R1"], mask)
            assert dialogue.messages[0]["content"].count("R1 <region>") == 1
    assert min(kinds["map"], kinds["region"]) > 20
    for area in (box(20, 20, 60, 60), box(20, 20, 60, 22)):  # a thin one is no fainter
        assert DrawnMap.of(area, 0.4).map.max() == pytest.approx(0.4)
    assert DrawnMap.of(box(0, 0, 0, 0), 0.4).map.max() < 0.05


def test_the_same_seed_gives_the_same_bytes_and_other_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    before = (folder / SHORT_FILE).read_bytes()
    result = CliRunner().invoke(app, ["short", str(folder), "--seed", "1"])
    assert result.exit_code == 0, result.output
    assert (folder / SHORT_FILE).read_bytes() == before
    (tmp_path / "alignment.jsonl").write_text("")
    with pytest.raises(SettingsError, match="wanted a folder of `write`"):
        write_short(tmp_path)


def test_the_command_reports_a_spoilt_short_answer(folder: Path, records: list[Record], tmp_path: Path) -> None:
    row = json.loads(records[0].to_json())
    row["dialogue"][1]["content"] = "In the lower beyond."
    (tmp_path / "bad.jsonl").write_text(json.dumps(row) + "\n")
    bad = CliRunner().invoke(app, ["verify", str(tmp_path / "bad.jsonl"), "--no-look"])
    assert bad.exit_code == 1
    assert "lower beyond" in bad.output
