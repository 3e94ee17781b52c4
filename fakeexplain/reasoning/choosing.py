"""Which writer a command's options mean. Left out: the options' help texts (`commands.ask`)."""

from __future__ import annotations

from typing import Any

from fakeexplain.errors import SettingsError
from fakeexplain.reasoning.assistant_writer import AssistantWriter, has_embedded_assistant
from fakeexplain.reasoning.plain_writer import PlainWriter
from fakeexplain.reasoning.writers import Writer


def choose_writer(
    writer: str = "",
    *,
    llm: str | None = None,
    llm_url: str | None = None,
    llm_model: str | None = None,
    expert: Any = None,
) -> Writer:
    """The writer that options name.

    Args:
        writer: "plain" for the rules, "assistant" for the one that comes with the library, a folder of its weights, or
            "" for the assistant where this copy has one and the rules where it has none.
        llm: name or folder of a causal language model. llm_url, llm_model: an OpenAI-compatible server and its model.
        expert: whose map an assistant sees.

    Raises:
        SettingsError: options that contradict each other, or weights that are missing.
        WriterError: a language model cannot be loaded.
    """
    if sum(bool(v) for v in (writer, llm, llm_url)) > 1:
        raise SettingsError("--writer, --llm and --llm-url: more than one came, wanted one")
    if llm_model and not llm_url:
        raise SettingsError(f"--llm-model {llm_model}: needs --llm-url")
    if llm_url:
        from fakeexplain.reasoning.url_writer import UrlWriter

        return UrlWriter(llm_url, llm_model or "")
    if llm:
        from fakeexplain.reasoning.local_writer import LocalWriter

        return LocalWriter(llm)
    if writer == "plain" or (not writer and not has_embedded_assistant()):
        return PlainWriter()
    writer = writer or "assistant"
    return AssistantWriter(None if writer == "assistant" else writer, expert=expert)
