"""Dialogues of every layout as rows, and rows as the messages that the assistant meets."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from data_tools.instructions.write import Plan, write
from fakeexplain.errors import SourceError
from fakeexplain.reasoning import prompting
from fakeexplain.records import Verdict
from tests.pictures import PHOTOGRAPHS, photograph
from training.assistant_data import is_held_out, open_records
from training.assistant_prompts import dialogues_of, spoken
from training.assistant_samples import IGNORED, without_repeated


@pytest.fixture(scope="module")
def dialogue_set(tmp_path_factory):
    """Twelve small pictures with all their records."""
    folder = tmp_path_factory.mktemp("dialogues")
    (folder / "photos").mkdir()
    for name in PHOTOGRAPHS:
        Image.fromarray(photograph(name)).save(folder / "photos" / f"{name}.jpg", quality=93)
    write(Plan(folder / "photos", size=160, seed=3), folder / "set", pictures=12, quiet=True)
    return folder / "set"


@pytest.fixture(scope="module")
def rows(dialogue_set, tmp_path_factory):
    return open_records((dialogue_set,), cache=tmp_path_factory.mktemp("cache"))


def picture(folder, name="a.png"):
    Image.fromarray(photograph("coffee")[:64, :80]).save(folder / name)


def test_rows_are_the_records_in_order(rows, dialogue_set):
    lines = [
        json.loads(line)
        for name in ("alignment", "mask_alignment", "dialogues")
        for line in (dialogue_set / f"{name}.jsonl").read_text().splitlines()
    ]
    assert len(rows) == len(lines) == 12 * 8
    assert [r.record.image for r in rows] == [line["image"] for line in lines]
    assert rows[5].record.dialogue[1].content == lines[5]["dialogue"][1]["content"]
    assert all(r.picture.is_file() for r in rows)


def test_photographs_are_never_parted(rows):
    trained, held_out = rows.held_out(0.4)
    assert sorted(trained + held_out) == list(range(len(rows)))
    sides = [{rows[n].record.source for n in side} for side in (trained, held_out)]
    assert sides[0]
    assert sides[1]
    assert not sides[0] & sides[1]
    shares = np.mean([is_held_out(f"photograph {i}", 0.2) for i in range(2000)])
    assert shares == pytest.approx(0.2, abs=0.03)


def test_a_changed_source_is_read_again_and_an_unchanged_one_is_not(tmp_path):
    picture(tmp_path)
    file = tmp_path / "manifest.jsonl"
    file.write_text(json.dumps({"image": "a.png", "caption": "one"}) + "\n")
    first = open_records((file,), cache=tmp_path / "cache")
    assert open_records((file,), cache=tmp_path / "cache").fingerprint == first.fingerprint
    file.write_text(json.dumps({"image": "a.png", "caption": "one and two"}) + "\n")
    again = open_records((file,), cache=tmp_path / "cache")
    assert again.fingerprint != first.fingerprint
    assert again[0].record.caption == "one and two"


LLAVA = {
    "id": "1",
    "image": "a.png",
    "conversations": [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A cup of coffee."}],
}


@pytest.mark.parametrize("layout", ["llava", "sharegpt", "messages", "huggingface", "hub", "records"])
def test_every_layout_gives_the_same_messages(layout, tmp_path):
    picture(tmp_path)
    turns = [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "A cup of coffee."}]
    if layout == "llava":
        source = tmp_path / "llava.json"
        source.write_text(json.dumps([LLAVA]))
    elif layout == "sharegpt":
        source = tmp_path / "sharegpt.json"
        entry = {"conversations": LLAVA["conversations"], "images": ["a.png"]}
        source.write_text(json.dumps([entry]))
    elif layout == "messages":
        source = tmp_path / "chat.jsonl"
        source.write_text(json.dumps({"messages": turns, "images": ["a.png"]}) + "\n")
    elif layout == "records":
        source = tmp_path  # as data_tools.convert and data_tools.review write it
        (tmp_path / "manifest.jsonl").write_text(json.dumps({"image": "a.png", "dialogue": turns}) + "\n")
    else:
        import datasets

        source = tmp_path / "hub"
        features = datasets.Features({"image": datasets.Image(), "record": datasets.Value("string")})
        image = {"bytes": (tmp_path / "a.png").read_bytes(), "path": "a.png"}
        table = datasets.Dataset.from_list([{"image": image, "record": json.dumps({"dialogue": turns})}], features)
        if layout == "hub":
            source.mkdir()
            table.to_parquet(str(source / "train.parquet"))
        else:
            table.save_to_disk(str(source))
    found = open_records((source,), cache=tmp_path / "cache")
    (dialogue,) = dialogues_of(found[0])
    assert [m["role"] for m in dialogue.messages] == ["user", "assistant"]
    assert dialogue.messages[0]["content"] == "<image>\n<mask>\nWhat is it?"
    assert dialogue.messages[1]["content"] == "A cup of coffee."
    where = found[0].picture
    content = where if isinstance(where, bytes) else where.read_bytes()
    assert content == (tmp_path / "a.png").read_bytes()


def test_what_is_wrong_is_told_with_the_record_and_the_reason(tmp_path):
    picture(tmp_path)
    good = json.dumps({"image": "a.png", "caption": "fine"})
    lines = [good, "{", json.dumps({"image": "gone.png", "caption": "x"}), json.dumps({"image": "a.png"})]
    file = tmp_path / "manifest.jsonl"
    file.write_text("\n".join([*lines, json.dumps({"image": "../a.png", "caption": "x"})]) + "\n")
    with pytest.raises(SourceError) as caught:
        open_records((file,), cache=tmp_path / "cache")
    told = str(caught.value)
    for part in (
        "line 2: no JSON",
        "line 3: gone.png does not exist",
        "line 4: neither a dialogue",
        "line 5: ../a.png",
    ):
        assert part in told
    (tmp_path / "llava.json").write_text(
        json.dumps([LLAVA, {**LLAVA, "conversations": [{"from": "dog", "value": ""}]}])
    )
    with pytest.raises(SourceError, match="entry 2: unknown speaker 'dog'"):
        open_records((tmp_path / "llava.json",), cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.arrow"))
    with pytest.raises(SourceError, match="none given"):
        open_records((), cache=tmp_path / "cache")


def test_answers_about_an_examination_have_the_prompt_they_will_have(rows):
    """Every figure of an answer stands in what was read before it: nothing has to be invented."""
    import re

    answers = figures = unfounded = 0
    for row in rows:
        if not any(h.get("on") == "examination" for h in row.record.history):
            continue
        verdict = next(Verdict.model_validate(h["verdict"]) for h in row.record.history if h.get("on") == "examination")
        for dialogue in dialogues_of(row):
            assert dialogue.messages[0] == {"role": "system", "content": prompting.REFERRING}
            assert prompting.verdict_lines(verdict)[0] in dialogue.messages[1]["content"]
            before = ""
            for message in dialogue.messages:
                if message["role"] == "assistant":
                    answers += 1
                    said = re.findall(r"\d[\d,.]*\d|\d", re.sub(r"\{[^{}]*\}", "", message["content"]))
                    figures += len(said)
                    unfounded += sum(s not in before for s in said)
                before += message["content"] + "\n"
    assert answers > 100
    assert unfounded <= 0.01 * figures


def test_each_answer_is_learned_once(rows):
    for row in rows:
        examined = any(h.get("on") == "examination" for h in row.record.history)
        wanted = sum(m.role == "assistant" for m in row.record.dialogue)
        learned = sum(sum(m["role"] == "assistant" for m in d.messages) - d.repeated for d in dialogues_of(row))
        assert learned == wanted if examined else learned <= wanted


def test_regions_and_segments_come_along(rows):
    marked = segments = 0
    for row in rows:
        for dialogue in dialogues_of(row):
            text = "\n".join(m["content"] for m in dialogue.messages)
            assert text.count("<image>") == text.count("<mask>") == 1
            assert text.count("<region>") == len(dialogue.regions)
            written = "".join(m["content"] for m in dialogue.messages if m["role"] == "assistant")
            assert written.count("<SEG>") == len(dialogue.targets)
            marked += len(dialogue.regions)
            segments += sum(t is not None and t.any() for t in dialogue.targets)
            size = (row.record.height, row.record.width)
            assert all(m.shape == size for m in dialogue.regions.values())
    assert marked > 10
    assert segments >= 1


def test_sentences_that_cite_what_is_not_there_are_left_out(rows):
    for row in rows:
        if any(h.get("on") == "mask" for h in row.record.history):
            for dialogue in dialogues_of(row):
                assert not any("[E" in m["content"] for m in dialogue.messages)
                assert (dialogue.given is not None) != bool(dialogue.regions)


def test_marks_are_not_spoken():
    assert spoken({"role": "user", "content": "<image>\n<mask>\nR1 <region> (1, 2, 3, 4)"}) == "R1 (1, 2, 3, 4)"


def test_repeated_answers_have_no_labels():
    labels = torch.tensor([[IGNORED, 5, 6, IGNORED, IGNORED, 7, IGNORED, 8, 9]])
    assert without_repeated(labels, 0).tolist() == labels.tolist()
    assert without_repeated(labels, 2)[0].tolist() == [IGNORED] * 7 + [8, 9]
