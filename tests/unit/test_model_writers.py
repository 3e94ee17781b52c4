"""Models as writers, with random weights: what they babble is never shown, and the examination stays what it was."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM

from fakeexplain.conversation import Conversation
from fakeexplain.errors import SettingsError, SourceError, WriterError
from fakeexplain.examiner import Examiner, Settings
from fakeexplain.models.assistant import ForgeryAssistant
from fakeexplain.models.assistant_configuration import ForgeryAssistantConfig
from fakeexplain.models.assistant_processing import ForgeryAssistantProcessor
from fakeexplain.models.assistant_tokenizer import train_tokenizer
from fakeexplain.reasoning.assistant_writer import AssistantWriter
from fakeexplain.reasoning.local_writer import LocalWriter
from fakeexplain.reasoning.writers import WriteRequest
from fakeexplain.records import Answer, Examination
from fakeexplain.report.render import render_html
from fakeexplain.report.terminal import terminal_summary
from tests.pictures import copy_move, encode, photograph
from tests.unit.models.tiny_assistant import TEXTS, settings, text_config

FORGED = encode(copy_move(photograph("astronaut"), size=90)[0])
FAST = Settings(instruments=("copy_move", "metadata"), expert=None)


@pytest.fixture(scope="module")
def assistant_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assistant")
    tokenizer = train_tokenizer(TEXTS, 380, context=4096)
    text = text_config("llama", len(tokenizer))
    text.max_position_embeddings = 4096
    config = ForgeryAssistantConfig.from_parts(text, settings())
    processor = ForgeryAssistantProcessor.for_model(config, tokenizer)
    processor.save_pretrained(folder)
    torch.manual_seed(0)
    ForgeryAssistant(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def examiner(assistant_folder: Path) -> Examiner:
    fast = Settings(instruments=FAST.instruments, expert=None, wording=str(assistant_folder))
    examiner = Examiner(fast, threads=1)
    assert isinstance(examiner.writer, AssistantWriter)
    examiner.writer._max_new_tokens = 12
    return examiner


@pytest.fixture(scope="module")
def examination(examiner: Examiner) -> Examination:
    return examiner.examine(FORGED, name="forged.png")


def test_a_random_assistant_changes_no_verdict_and_its_words_are_struck(
    examiner: Examiner, examination: Examination
) -> None:
    plain = Examiner(FAST, threads=1).examine(FORGED, name="forged.png")
    assert plain.account is None
    assert (examination.verdict, examination.reasoning) == (plain.verdict, plain.reasoning)
    account = examination.account
    assert account is not None
    assert account.writer == examiner.writer.name
    assert account.writer.startswith("assistant ")
    assert account.struck > 0
    assert {s.written_by for s in account.sentences if s.finding != "no_claim"} == {"rule"}
    assert any("E1" in s.evidence_ids for s in account.sentences)


def test_the_writer_names_its_weights_as_sha256sum_and_the_card_do(examiner: Examiner, assistant_folder: Path) -> None:
    digest = hashlib.sha256((assistant_folder / "model.safetensors").read_bytes()).hexdigest()
    assert examiner.writer.name == f"assistant {digest[:12]}"


def test_the_account_is_told_in_every_report_where_it_holds_words_of_the_model(examination: Examination) -> None:
    assert examination.account is not None
    first = examination.account.sentences[0]
    told = examination.account.model_copy(update={"sentences": (first.model_copy(update={"written_by": "model"}),)})
    said = max(first.text.split(" [")[0].split("."), key=len)[:20]
    source = Examiner(FAST).load(FORGED, name="forged.png")
    for one, shown in ((examination, False), (examination.model_copy(update={"account": told}), True)):
        stream = io.StringIO()
        Console(file=stream, width=4000).print(terminal_summary(one))
        for text in (stream.getvalue(), render_html(one, source, None)):
            assert ("In the assistant's words" in text.replace("&#39;", "'")) is shown
            assert not shown or said in text
    again = Examination.model_validate_json(examination.to_json())
    assert again == examination.model_copy(
        update={"evidence": tuple(e.model_copy(update={"score_map": None}) for e in examination.evidence)}
    )


def test_an_examination_answers_questions_and_keeps_the_dialogue(examination: Examination) -> None:
    first = examination.ask("Where was it changed?", region=(20, 20, 80, 80))
    assert isinstance(first, Answer)
    *_, last = examination.ask("And how sure are you?", stream=True)
    assert isinstance(last, Answer)
    talk = examination.__dict__["_opener"]()
    assert talk.turns == (first, last)


def test_an_examination_without_its_picture_says_how_to_ask(examination: Examination) -> None:
    for copy in (Examination.model_validate_json(examination.to_json()), pickle.loads(pickle.dumps(examination))):
        with pytest.raises(SourceError, match="conversation"):
            copy.ask("Where?")


def test_a_file_that_changed_since_is_not_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(FORGED)
    examination = Examiner(FAST, threads=1).examine(path)
    path.write_bytes(encode(photograph("chelsea")[:100, :100]))
    with pytest.raises(SourceError, match="another picture"):
        examination.ask("Where?")


def test_a_second_try_reads_the_sentences_that_stand(examiner: Examiner, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = examiner.writer
    assert isinstance(writer, AssistantWriter)
    read: list[str] = []

    def generate(**inputs):  # type: ignore[no-untyped-def]
        read.append(writer._processor.tokenizer.decode(inputs["input_ids"][0]))
        inputs["streamer"].end()

    monkeypatch.setattr(writer._model, "generate", generate)
    talk = examiner.conversation(FORGED)
    asked: list[WriteRequest] = []

    class Hears:
        name = "hears"

        def write(self, request):  # type: ignore[no-untyped-def]
            asked.append(request)
            yield "I cannot say.\n"

    talk.writer = Hears()
    talk.ask("Where was it changed?")
    for said in ("", "The finding R1 lies there [E1]."):
        assert "".join(writer.write(replace(asked[0], feedback="No.", said=said))) == ""
    assert read[-1] == read[-2] + "The finding R1 lies there [E1]."
    monkeypatch.undo()
    end = writer._processor.tokenizer.convert_tokens_to_ids("<|end|>")
    monkeypatch.setattr(writer, "_max_new_tokens", 3)
    pieces: dict[bool, str] = {}
    for more in (
        False,
        True,
    ):  # a model that would end at once goes on, and with the likeliest, when there is more to say
        with torch.no_grad(), monkeypatch.context() as patch:
            patch.setattr(writer._model, "forward", ending(writer._model.forward, end))
            request = replace(
                asked[0], feedback="More." if more else "", said="The finding R1 lies there [E1].", more=more
            )
            pieces[more] = "".join(writer.write(request)).strip()
    assert pieces[False] == ""
    assert pieces[True]


def ending(forward, end: int):  # type: ignore[no-untyped-def]
    @functools.wraps(forward)
    def forward_to_the_end(*args, **options):  # type: ignore[no-untyped-def]
        output = forward(*args, **options)
        output.logits[..., end] = output.logits.max() + 10
        return output

    return forward_to_the_end


def test_a_random_assistant_points_only_where_a_region_is(examiner: Examiner) -> None:
    talk = examiner.conversation(FORGED)
    request_of = []

    class Points:
        name = "points"

        def write(self, request):  # type: ignore[no-untyped-def]
            request_of.append(request)
            yield "<SEG> is the region [E1].\n"

        def segment(self, request, answer):  # type: ignore[no-untyped-def]
            return examiner.writer.segment(request, answer)  # type: ignore[attr-defined]

    talk.writer = Points()
    talk.ask("Show me the region.")
    mask = examiner.writer.segment(request_of[0], "<SEG> is R1")  # type: ignore[attr-defined]
    assert mask.shape == (talk.source.height, talk.source.width)
    assert mask.dtype == np.bool_


def test_a_local_language_model_answers_through_the_same_check(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(TEXTS, 380, context=8192)
    text = text_config("llama", len(tokenizer))
    text.max_position_embeddings = 8192
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(text).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    writer = LocalWriter(tmp_path, max_new_tokens=12)
    talk = Conversation(Examiner(FAST, threads=1), FORGED, writer=writer)
    answer = talk.ask("Was it changed?")
    assert answer.writer == f"llm {tmp_path.name}"
    assert {s.written_by for s in answer.sentences if s.finding != "no_claim"} == {"rule"}
    short = json.loads((tmp_path / "config.json").read_text()) | {"max_position_embeddings": 64}
    (tmp_path / "config.json").write_text(json.dumps(short))
    with pytest.raises(WriterError, match="the question takes"):
        Conversation(Examiner(FAST, threads=1), FORGED, writer=LocalWriter(tmp_path)).ask("Was it changed?")


def test_weights_that_are_not_there(tmp_path: Path, assistant_folder: Path) -> None:
    with pytest.raises(SettingsError, match=r"config\.json"):
        Examiner(Settings(wording=str(tmp_path / "none"), expert=None))
    with pytest.raises(WriterError, match="cannot be loaded"):
        LocalWriter(tmp_path / "none")
    other = shutil.copytree(assistant_folder, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"seg_token_id": config["seg_token_id"] + 1}))
    with pytest.raises(SettingsError, match="the tokenizer has"):
        AssistantWriter(other)


def test_a_question_too_long_for_the_model_says_what_to_do(examiner: Examiner) -> None:
    with pytest.raises(WriterError, match=r"shorten the question.*--wording plain"):
        examiner.conversation(FORGED).ask(" ".join(f"word{i}" for i in range(4000)))
