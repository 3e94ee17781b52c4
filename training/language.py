"""Task `language`: the small LLaMA-style language model of the embedded default, on plain text and generated dialogues.

Dialogues are read as the assistant reads them, evidence lines included, without the tokens of picture and mask. What
the assistant writes counts fully, what it reads a little: figures in evidence cannot be foreseen, but the habit of
looking back at them can be learned. Afterwards this model is frozen and LoRA-tuned like any other.

Deliberately left out: other language models, which come trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from fakeexplain.errors import SettingsError
from fakeexplain.models.assistant_tokenizer import END
from training.assistant_tokenizer import load_tokenizer
from training.chunked_loss import chunked_cross_entropy
from training.config import LanguageConfig, TrainingConfig
from training.data import Batch
from training.judging import judging
from training.language_data import ROUND, LanguageDataset, Tokens, padded, prepare, sequence, text_sample
from training.losses import Loss
from training.shared_prompts import PADDING, places

EVAL_BATCH = 8


def llama_config(sizes: LanguageConfig, tokenizer: Any) -> Any:
    """transformers' LlamaConfig with embedding and output layer shared."""
    from transformers import LlamaConfig

    return LlamaConfig(
        **sizes.model_dump(exclude={"rope_theta"}),
        rope_parameters={"rope_type": "default", "rope_theta": sizes.rope_theta},
        vocab_size=len(tokenizer),
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
    )


class LanguageModel(nn.Module):
    """A causal language model whose forward pass is its loss, so that it can be trained in several processes."""

    def __init__(self, language_model: nn.Module) -> None:
        super().__init__()
        self.language_model = language_model

    def forward(self, input_ids: Tensor, weights: Tensor, branches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """int64 B,T and float B,T -> weighted sum of the losses, losses of the weighted tokens, their weights.

        Padding stands behind, where a causal model's earlier tokens do not see it.

        Args:
            branches: int64 B,T, see `shared_prompts`.
        """
        positions, visible = places(branches) if bool((branches > 0).any()) else (None, None)
        hidden = self.language_model.model(  # type: ignore[operator]
            input_ids=input_ids, position_ids=positions, attention_mask=visible, use_cache=False
        ).last_hidden_state
        wanted = weights[:, 1:] > 0
        counted = weights[:, 1:][wanted]
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        output: Any = self.language_model.lm_head
        total, values = chunked_cross_entropy(
            hidden[:, :-1][wanted].float(), output.weight, input_ids[:, 1:][wanted], counted, dtype
        )
        return total, values, counted


def _begun(folder: str, wanted: Any) -> nn.Module:
    """A language model of these sizes that was trained before, float32.

    Raises:
        SettingsError: it cannot be read, or has other sizes or another vocabulary.
    """
    from transformers import LlamaForCausalLM

    try:
        model = LlamaForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise SettingsError(f"language_model_path {folder}: cannot be loaded ({error})") from None
    sizes = (*LanguageConfig.model_fields, "vocab_size")
    if other := [n for n in sizes if n != "rope_theta" and getattr(model.config, n) != getattr(wanted, n)]:
        differ = ", ".join(f"{n} {getattr(model.config, n)}, wanted {getattr(wanted, n)}" for n in other)
        raise SettingsError(f"language_model_path {folder}: {differ}; mend `language` or `tokenizer`")
    return model.train()


class _Saved:
    """A transformers configuration in the clothes the loop saves: `model_dump_json`."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def model_dump_json(self, indent: int) -> str:
        text: str = self.config.to_json_string(use_diff=False)
        return text


class LanguageTask:
    """See the module. The held-out score is minus the loss of what the assistant writes; of text without dialogues."""

    default_weights: ClassVar[dict[str, float]] = {"tokens": 1.0}

    def __init__(self, config: TrainingConfig) -> None:
        from transformers import LlamaForCausalLM

        if config.language is None or config.data is None or config.tokenizer is None:
            raise SettingsError("task language needs `language`, `data` and the folder of its `tokenizer`")
        longest = max(phase.size for phase in config.phases)
        if longest > config.language.max_position_embeddings:
            raise SettingsError(
                f"phases: size {longest} is longer than language.max_position_embeddings "
                f"{config.language.max_position_embeddings}"
            )
        self.config, self._data = config, config.data
        self.tokenizer = load_tokenizer(config.tokenizer)
        llama = llama_config(config.language, self.tokenizer)
        self.model_config = _Saved(llama)
        torch.manual_seed(config.seed)
        path = config.language_model_path
        self.model: nn.Module = LanguageModel(LlamaForCausalLM(llama) if path is None else _begun(path, llama))
        self._sets = prepare(config.data, self.tokenizer, config.output_dir / "cache", longest)

    def dataset(self, phase: int, size: int) -> Dataset[Batch]:
        seed = 1000 * self.config.seed + phase
        return LanguageDataset(self._sets, size, self._data, self.tokenizer.pad_token_id, seed)

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Loss]:
        total, _, weights = model(batch["input_ids"], batch["weights"], batch["branches"])
        return {"tokens": Loss(total, weights.sum())}

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], float]:
        """Perplexity per token of held-out text, of what the assistant reads and of what it writes."""
        size = self.config.phases[-1].size
        figures: dict[str, float] = {}
        text, dialogues = self._sets.held_out_text, self._sets.held_out_dialogues
        if len(text.ids) > 1:
            starts = range(0, min(len(text.ids) - 1, self.config.eval_samples * size), size)
            windows = [np.asarray(text.ids[s : s + size]) for s in starts]
            samples = [text_sample(w, size, self.tokenizer.pad_token_id) for w in windows]
            figures["text_perplexity"] = self._perplexity(model, samples)
        if len(dialogues.lengths):
            for name, own in (("answer", True), ("prompt", False)):
                figures[f"{name}_perplexity"] = self._perplexity(model, self._held_out(dialogues, size, own))
        name = "answer_perplexity" if "answer_perplexity" in figures else "text_perplexity"
        return figures, -float(np.log(figures[name]))

    def _held_out(self, dialogues: Tokens, size: int, answers: bool) -> list[Batch]:
        """Held-out dialogues in which only the assistant's tokens count, or only the others."""
        count = len(dialogues.lengths)
        # Neighbours are about one picture; taken at equal distances, they show as many pictures as there are.
        numbers = np.unique(np.linspace(0, count - 1, min(self.config.eval_samples, count)).astype(int))
        samples = []
        for number in sorted(numbers.tolist(), key=lambda n: int(dialogues.lengths[n])):
            ids, weights, branches = sequence(dialogues, number, size, 0.0)
            weights = weights if answers else 1.0 - weights
            samples.append(padded(ids, weights, branches, -(-len(ids) // ROUND) * ROUND, self.tokenizer.pad_token_id))
        return samples

    def _perplexity(self, model: nn.Module, samples: list[Batch]) -> float:
        total, count = 0.0, 0.0
        device = next(model.parameters()).device
        for start in range(0, len(samples), EVAL_BATCH):
            part = samples[start : start + EVAL_BATCH]
            longest = max(len(s["input_ids"]) for s in part)
            ids = torch.full((len(part), longest), self.tokenizer.pad_token_id)
            weights = torch.zeros(len(part), longest)
            alone = torch.full_like(ids, PADDING)
            for row, sample in enumerate(part):
                ids[row, : len(sample["input_ids"])] = sample["input_ids"]
                weights[row, : len(sample["weights"])] = sample["weights"]
                alone[row, : len(sample["branches"])] = sample["branches"]
            with judging(model, self.config):
                loss, _, counted = model(ids.to(device), weights.to(device), alone.to(device))
            total, count = total + float(loss), count + float(counted.sum())
        return float(np.exp(min(total / max(count, 1.0), 50.0)))

    def picture(self, model: nn.Module, path: Path) -> None:
        """Nothing to look at: perplexities are in the log."""
