"""A writer inside this process: any text-only causal language model that transformers loads, by name or folder.

Nothing is fetched: a name must be in the local cache already, unless the user's own settings of transformers say
otherwise. Text only, as for a server. Left out: our own multimodal model (`assistant_writer`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fakeexplain.errors import WriterError
from fakeexplain.imaging.source import printable
from fakeexplain.reasoning.prompting import text_messages
from fakeexplain.reasoning.streaming import streamed
from fakeexplain.reasoning.writers import WriteRequest

MAX_NEW_TOKENS = 400


class LocalWriter:
    """Greedy text of a causal language model.

    Args:
        name_or_path: folder, or name in the local cache. max_new_tokens: of one answer.
        allow_download: let transformers fetch a name that is not in the cache.

    Raises:
        WriterError: it cannot be loaded.
    """

    def __init__(
        self, name_or_path: str | Path, *, max_new_tokens: int = MAX_NEW_TOKENS, allow_download: bool = False
    ) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        where = str(name_or_path)
        try:
            options: dict[str, Any] = {"local_files_only": not allow_download, "trust_remote_code": False}
            self._tokenizer: Any = AutoTokenizer.from_pretrained(where, **options)
            self._model: Any = AutoModelForCausalLM.from_pretrained(where, use_safetensors=True, **options).eval()
        except (OSError, ValueError, ImportError, KeyError) as error:
            reason = printable(" ".join(str(error).split()), 200)
            raise WriterError(
                f"--llm {printable(where, 200)}: cannot be loaded ({reason}); wanted a folder or a cached model"
            ) from None
        self._max_new_tokens = max_new_tokens
        self.name = f"llm {Path(where).name if Path(where).exists() else where}"

    def write(self, request: WriteRequest) -> Iterator[str]:
        from transformers import LogitsProcessorList

        from fakeexplain.reasoning.grounded_decoding import only_known

        inputs = self._tokenizer(self.prompt(request), return_tensors="pt", add_special_tokens=False)
        length = inputs["input_ids"].shape[1]
        context = getattr(self._model.config, "max_position_embeddings", None)
        room = self._max_new_tokens if context is None else min(self._max_new_tokens, context - length)
        if room < 8:
            raise WriterError(
                f"{self.name}: the question takes {length} tokens, the model {context}; start anew or ask less"
            )
        known = only_known(self._tokenizer, length, request)
        pad = self._tokenizer.pad_token_id if self._tokenizer.pad_token_id is not None else self._tokenizer.eos_token_id
        yield from streamed(
            self.name,
            self._model,
            self._tokenizer,
            max_new_tokens=room,
            do_sample=False,
            pad_token_id=pad,
            logits_processor=LogitsProcessorList([known]),
            **inputs.to(self._model.device),
        )

    def prompt(self, request: WriteRequest) -> str:
        """The prompt in the model's own chat form, or as plain text where it has none."""
        messages = text_messages(request)
        if getattr(self._tokenizer, "chat_template", None):
            for attempt in (messages, _merged(messages)):
                try:
                    return str(self._tokenizer.apply_chat_template(attempt, tokenize=False, add_generation_prompt=True))
                except Exception:  # templates are programs; some know no system role or want turns in pairs
                    continue
        return "\n\n".join(f"{m['role'].capitalize()}: {m['content']}" for m in messages) + "\n\nAssistant:"


def _merged(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """System text at the head of the first question, neighbours of one role joined: what strict templates take."""
    merged: list[dict[str, str]] = []
    for message in messages:
        role = "user" if message["role"] == "system" else message["role"]
        if merged and merged[-1]["role"] == role:
            merged[-1]["content"] += "\n" + message["content"]
        else:
            merged.append({"role": role, "content": message["content"]})
    return merged
