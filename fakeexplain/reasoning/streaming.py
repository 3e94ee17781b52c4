"""A language model's words while it still writes. transformers hands them over from another thread, which has to end
with whoever listens. Left out: the prompt, and any check of what is said."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Any

from fakeexplain.errors import WriterError
from fakeexplain.imaging.source import printable

_LONGEST_WAIT = 600.0  # seconds between two words


def streamed(
    name: str, model: Any, tokenizer: Any, *, keep_special: bool = False, seed: int = 0, **arguments: Any
) -> Generator[str, None, None]:
    """What `model.generate(**arguments)` writes behind its prompt, piece by piece; one prompt.

    Whoever stops listening stops the model. Draws come from `seed` and leave the process's own generator alone.

    Args:
        name: of the writer, for the message of a failure.
        keep_special: leave special tokens in, because one of them may be meant.

    Raises:
        WriterError: the model failed.
    """
    import torch
    from transformers import StoppingCriteria, StoppingCriteriaList, TextIteratorStreamer

    stopped = threading.Event()

    class Stop(StoppingCriteria):
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
            return torch.full((input_ids.shape[0],), stopped.is_set(), dtype=torch.bool, device=input_ids.device)

    streamer = TextIteratorStreamer(
        tokenizer, skip_prompt=True, skip_special_tokens=not keep_special, timeout=_LONGEST_WAIT
    )
    failure: list[BaseException] = []

    def generate() -> None:
        try:
            with torch.inference_mode(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                model.generate(streamer=streamer, stopping_criteria=StoppingCriteriaList([Stop()]), **arguments)
        except Exception as error:  # told in the thread that listens
            failure.append(error)
            streamer.end()

    worker = threading.Thread(target=generate, daemon=True)
    worker.start()
    try:
        yield from streamer
    finally:
        stopped.set()
        worker.join()
    if failure:
        raise WriterError(f"{name}: failed ({printable(str(failure[0]), 200)})")
