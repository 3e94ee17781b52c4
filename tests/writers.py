"""Writers for tests."""

from __future__ import annotations

from collections.abc import Iterator

from fakeexplain.reasoning.writers import WriteRequest


class Says:
    """Says one text, whatever it is asked."""

    name = "says"

    def __init__(self, text: str) -> None:
        self.text = text

    def write(self, request: WriteRequest) -> Iterator[str]:
        yield self.text + "\n"
