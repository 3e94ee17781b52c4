"""The project's own assistant as a writer: picture, expert's map, evidence and regions in; sentences and `<SEG>` out.

A thin adapter over `models.ForgeryAssistant`. Left out: the model, and any check of what it says.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from fakeexplain.errors import SettingsError, WriterError
from fakeexplain.imaging.regions import decode_mask
from fakeexplain.imaging.source import SourceImage
from fakeexplain.reasoning.prompting import REGION_MARK, assistant_messages, references_of
from fakeexplain.reasoning.streaming import streamed
from fakeexplain.reasoning.writers import WriteRequest

MAX_NEW_TOKENS = 260
_FOLDER = ("weights", "assistant")


def embedded_folder() -> Path:
    """Where the assistant's weights lie when this copy of the library has any."""
    return Path(str(resources.files("fakeexplain").joinpath(*_FOLDER)))


def has_embedded_assistant() -> bool:
    """Whether this copy of the library carries an assistant."""
    return (embedded_folder() / "config.json").is_file()


class AssistantWriter:
    """Wording of a trained assistant.

    Args:
        folder: its weights; None for those that come with the library.
        expert: `fakeexplain.localization.Expert` whose map it sees; None for none (it knows what that means).

    Raises:
        SettingsError: there are no weights; a folder's cannot be loaded. Those that come with the library are loaded by
            the first question, which raises WriterError if they are damaged.
    """

    def __init__(
        self, folder: Path | str | None = None, *, expert: Any = None, max_new_tokens: int = MAX_NEW_TOKENS
    ) -> None:
        if folder is None and not has_embedded_assistant():
            raise SettingsError(
                "this copy of the library has no assistant; use --writer plain, or give a folder of weights"
            )
        self._folder = embedded_folder() if folder is None else Path(folder)
        self._expert, self._max_new_tokens = expert, max_new_tokens
        self._seen: tuple[str, Any, Any] | None = None
        # The embedded weights wait for the first question, for a batch names its writer before it opens a picture, and
        # its workers do the work. Somebody's folder may be wrong, which is told at once.
        digest = _digest(self._folder) if folder is None else _load_cached(self._folder)[2]
        self.name = f"assistant {digest}"

    @property
    def _model(self) -> Any:
        return self._loaded[0]

    @property
    def _processor(self) -> Any:
        return self._loaded[1]

    @functools.cached_property
    def _loaded(self) -> tuple[Any, Any, str]:
        try:
            return _load_cached(self._folder)
        except SettingsError as error:
            raise WriterError(f"{self.name}: {error}; install again, or use --wording plain") from None

    def write(self, request: WriteRequest) -> Iterator[str]:
        from transformers import LogitsProcessorList

        from fakeexplain.models.assistant_tokenizer import END
        from fakeexplain.reasoning.grounded_decoding import EndWhereLost, only_known

        # Trained without reproaches, it is confused by one: a second try draws other words instead, behind what stands.
        # Asked for more, it goes on there with what it finds likeliest but the end.
        again = bool(request.feedback) and not request.more
        asked = replace(request, feedback="")
        inputs = self._inputs(asked)
        references = references_of(asked)
        if (again or request.more) and request.said:
            inputs = self._going_on(inputs, references.put(request.said, answers=True))
        # `<SEG>` may be a special token of the tokenizer, so special tokens are kept and the others taken out below.
        tokenizer = self._processor.tokenizer
        known = only_known(tokenizer, inputs["input_ids"].shape[1], asked, references)
        end = tokenizer.convert_tokens_to_ids(END)
        largest = self._model.config.settings.largest_entropy
        processor = known if largest is None else EndWhereLost(known, largest, end)
        hidden = [t for t in tokenizer.all_special_tokens if t != "<SEG>"]
        words = streamed(
            self.name,
            self._model,
            tokenizer,
            keep_special=True,
            seed=len(request.feedback),
            max_new_tokens=self._max_new_tokens,
            do_sample=again,
            temperature=0.5 if again else None,
            begin_suppress_tokens=[end] if request.more else None,
            logits_processor=LogitsProcessorList([processor]),
            **inputs,
        )
        with contextlib.closing(words):
            yield from references.filled(_without(words, hidden))

    def segment(self, request: WriteRequest, answer: str) -> np.ndarray | None:
        """bool HxW of the last `<SEG>` in the answer so far; None where the model gives no region."""
        import cv2
        import torch

        said = self._inputs(request, answer)
        with torch.inference_mode():
            output = self._model.segment(**said)
        logits = getattr(output, "seg_logits", None)
        if logits is None or not logits.numel():
            return None
        level = logits.reshape(-1, *logits.shape[-2:])[-1].float().numpy()
        size = (request.source.width, request.source.height)
        return np.asarray(cv2.resize(level, size, interpolation=cv2.INTER_LINEAR) > 0)

    def _going_on(self, inputs: dict[str, Any], said: str) -> dict[str, Any]:
        """Inputs with the beginning of the answer behind the prompt."""
        import torch

        begun = self._processor.tokenizer.encode(said, add_special_tokens=False)
        ids = torch.cat([inputs["input_ids"], torch.tensor([begun], dtype=torch.long)], dim=1)
        return {**inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def _inputs(self, request: WriteRequest, answer: str | None = None) -> dict[str, Any]:
        turns = assistant_messages(request)
        if answer is not None:
            turns = [*turns, {"role": "assistant", "content": references_of(request).put(answer, answers=True)}]
        text = "\n".join(t["content"] for t in turns)
        regions = {i: decode_mask(r.mask) for i, r in request.regions.items() if f"{i} {REGION_MARK}" in text}
        localization, features = self._look(request)
        try:
            inputs: dict[str, Any] = self._processor(
                turns,
                image=self._picture(request),
                localization=localization,
                trace_features=features,
                regions=regions,
                labels=answer is not None,
            )
        except SettingsError as error:  # the dialogue became too long: begin anew without its history
            if not request.history:
                raise WriterError(
                    f"{self.name}: question and evidence do not fit ({str(error).split(';')[0]}); "
                    "shorten the question, or let the rules answer (--wording plain)"
                ) from None
            return self._inputs(replace(request, history=request.history[1:]), answer)
        if answer is not None:
            inputs.pop("labels", None)
        return inputs

    def _picture(self, request: WriteRequest) -> np.ndarray:
        """What its vision tower sees, uint8 HxWx3; experiments put in another picture."""
        return request.source.rgb

    def localize(self, source: SourceImage, *, threads: int | None = None) -> Any:
        """The expert's `Localization` of a picture; its features are kept for the questions to come."""
        return self._seen_of(source, threads)[1]

    def _look(self, request: WriteRequest) -> tuple[Any, Any]:
        """The expert's map and features of this picture, computed once."""
        return (None, None) if self._expert is None else self._seen_of(request.source)[1:]

    def _seen_of(self, source: SourceImage, threads: int | None = None) -> tuple[str, Any, Any]:
        """(sha256, Localization, features) of a picture; of the last one without another run."""
        seen = self._seen  # one read: another thread may put another picture there
        if seen is None or seen[0] != source.sha256:
            from fakeexplain.models.assistant_views import localize

            found, features = localize(self._expert, source, self._processor.grid, threads=threads)
            self._seen = seen = (source.sha256, found, features)
        return seen


def _without(pieces: Iterable[str], tokens: Sequence[str]) -> Iterator[str]:
    """Pieces with special tokens as line breaks."""
    for piece in pieces:
        for token in tokens:
            piece = piece.replace(token, "\n")
        yield piece


@functools.lru_cache(maxsize=2)
def _load_cached(folder: Path) -> tuple[Any, Any, str]:
    """(model, processor, digest), loaded once in a process; a batch opens a writer for each picture."""
    from fakeexplain.models.assistant_loading import load_assistant  # brings torch and transformers along

    return *load_assistant(folder), _digest(folder)


def _digest(folder: Path) -> str:
    """First digits of the SHA-256 of the weights; of one file, what `sha256sum` says and the model card names."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
