"""A trained assistant from a folder, for those who only use it. Deliberately left out: where the folder comes from."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers.utils import logging as hf_logging

from fakeexplain.errors import SettingsError
from fakeexplain.models.assistant import ForgeryAssistant
from fakeexplain.models.assistant_adapters import PARTS_FILE, Quantization
from fakeexplain.models.assistant_processing import ForgeryAssistantProcessor


def load_assistant(
    folder: Path | str, *, quantization: Quantization | None = None, dtype: torch.dtype = torch.float32
) -> tuple[ForgeryAssistant, ForgeryAssistantProcessor]:
    """A trained assistant and its processor from a folder, whole or adapters only; quietly, in evaluation mode.

    Args:
        quantization: of the language model, where the folder holds adapters only.

    Raises:
        SettingsError: files are missing, or weights do not fit.
    """
    path = Path(folder)
    if not (path / "config.json").is_file():
        raise SettingsError(f"{path}: no config.json there; wanted a folder that save_pretrained or save_adapter wrote")
    shown = hf_logging.is_progress_bar_enabled()
    hf_logging.disable_progress_bar()
    try:
        if (path / PARTS_FILE).is_file():
            model = ForgeryAssistant.load_trained(path, quantization=quantization, dtype=dtype)
        elif quantization is not None:
            raise SettingsError(f"{path}: a whole assistant; pass quantization_config to from_pretrained instead")
        else:
            model = ForgeryAssistant.from_pretrained(path, dtype=dtype).eval()
        processor = ForgeryAssistantProcessor.from_pretrained(path)
    except (OSError, ValueError, SafetensorError) as error:
        raise SettingsError(f"{path}: cannot be loaded ({error})") from None
    finally:
        if shown:
            hf_logging.enable_progress_bar()
    known = {mark: processor.tokenizer.convert_tokens_to_ids(mark) for mark in model.config.mark_ids}
    if known != model.config.mark_ids:
        raise SettingsError(
            f"{path}: the tokenizer has {known}, the model {model.config.mark_ids}; "
            "wanted both from one training (ForgeryAssistantProcessor.for_model comes before saving the model)"
        )
    return model, processor
