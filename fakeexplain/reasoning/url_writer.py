"""A writer behind any OpenAI-compatible server (vLLM, Ollama, llama.cpp, a service); off unless an address is given.

Only text leaves this process: the evidence lines, the question and earlier turns; never the picture. The key comes from
an environment variable and is never shown. Left out: retries, tools of the protocol (our tool lines are plain text).
"""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

from fakeexplain.errors import SettingsError, WriterError
from fakeexplain.imaging.source import printable
from fakeexplain.reasoning.prompting import text_messages
from fakeexplain.reasoning.writers import WriteRequest

KEY_VARIABLE = "FAKEEXPLAIN_LLM_KEY"
TIMEOUT_SECONDS = 60.0  # without a byte
LONGEST_ANSWER = 20_000  # characters read of one answer; a server that never ends is left
_LONGEST_LINE = 1 << 20


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the evidence, and the key, to an address that nobody gave."""

    def redirect_request(self, *args: object, **kwargs: object) -> None:
        return None


class UrlWriter:
    """Streams from `<url>/chat/completions`.

    Args:
        url: base address, e.g. "http://127.0.0.1:11434/v1". model: its name there.
        key_variable: environment variable with the key; none is sent where it is not set.
        timeout: seconds without an answer. max_tokens: of one answer.

    Raises:
        SettingsError: no http(s) address, credentials inside it, or no model.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key_variable: str = KEY_VARIABLE,
        timeout: float = TIMEOUT_SECONDS,
        max_tokens: int = 600,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError(f"--llm-url {printable(url, 200)!r}: wanted an address like http://127.0.0.1:11434/v1")
        if parts.username or parts.password:
            raise SettingsError(f"--llm-url: holds credentials; put the key into the variable {key_variable} instead")
        if not model.strip():
            raise SettingsError("--llm-url needs --llm-model: the model's name on that server")
        self._url, self._model = url.rstrip("/"), model.strip()
        self._key_variable, self._timeout, self._max_tokens = key_variable, timeout, max_tokens
        self.host = parts.netloc
        self.name = f"url {self.host}/{self._model}"
        self._opener = urllib.request.build_opener(_NoRedirects)

    def write(self, request: WriteRequest) -> Iterator[str]:
        body = {
            "model": self._model,
            "messages": text_messages(request),
            "stream": True,
            "temperature": 0,
            "max_tokens": self._max_tokens,
        }
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        if key := os.environ.get(self._key_variable):
            headers["Authorization"] = f"Bearer {key}"
        call = urllib.request.Request(f"{self._url}/chat/completions", json.dumps(body).encode(), headers)
        try:
            with self._opener.open(call, timeout=self._timeout) as response:
                yield from self._read(response)
        except urllib.error.HTTPError as error:
            said = printable(" ".join(error.read(2000).decode("utf-8", "replace").split()), 200)
            raise WriterError(
                f"{self.host}: answered {error.code} ({said or error.reason}); check address, model and key"
            ) from None
        except TimeoutError:
            raise WriterError(f"{self.host}: no answer within {self._timeout:g} s; is the model loaded?") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise WriterError(
                f"{self.host}: cannot be reached ({printable(str(reason), 200)}); is the server running?"
            ) from None

    def _read(self, response: http.client.HTTPResponse) -> Iterator[str]:
        """Pieces of an event stream; a server that answers in one piece is understood too."""
        if "application/json" in (response.headers.get("Content-Type") or ""):
            yield self._content(response.read(_LONGEST_LINE), "message")
            return
        total = 0
        while total < LONGEST_ANSWER:
            line = response.readline(_LONGEST_LINE)
            if not line:
                return
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                return
            piece = self._content(data, "delta")
            total += len(piece)
            if piece:
                yield piece

    def _content(self, data: bytes, key: str) -> str:
        try:
            answer = json.loads(data)
            if "error" in answer:
                raise WriterError(f"{self.host}: {printable(str(answer['error']), 200)}")
            choices = answer["choices"]
            return str(choices[0][key].get("content") or "") if choices else ""
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            shown = printable(data[:80].decode("utf-8", "replace"))
            raise WriterError(f"{self.host}: not an OpenAI-compatible answer ({shown})") from None
