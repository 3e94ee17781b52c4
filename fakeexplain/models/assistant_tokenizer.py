"""Tokenizers of the assistant: a small one of our own for the embedded default, and the marks in anybody's.

Digits are single tokens, for numbers and ids are what answers are made of. Deliberately left out: the text it learns
from (`training/`).
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, TokenizersBackend

from fakeexplain.errors import SettingsError
from fakeexplain.models.assistant_configuration import MARKS, ForgeryAssistantConfig

PAD, START, END = "<|pad|>", "<|start|>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
SPECIALS = (PAD, START, END, *ROLES, *MARKS)
_PIECES = Regex(r"\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]|\s+")
# Every turn is one special token, its text, and the end: a user's words can never be one of them (see `plain_text`).
CHAT_TEMPLATE = (
    "{{ '<|start|>' }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
# For language models whose tokenizer brings no template: Vicuna's form, which bare LLaMA checkpoints take to.
PLAIN_CHAT_TEMPLATE = (
    "{{ bos_token or '' }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + ' ' }}"
    "{% elif message['role'] == 'assistant' %}{{ 'ASSISTANT: ' + message['content'] + (eos_token or '') }}"
    "{% else %}{{ 'USER: ' + message['content'] + ' ' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}{% endif %}"
)


def train_tokenizer(texts: Iterable[str], vocab_size: int, *, context: int = 1024) -> PreTrainedTokenizerBase:
    """A byte-level BPE tokenizer with the marks, the roles and a chat template; the same texts give the same one.

    Args:
        vocab_size: most entries, special ones included.
        context: most tokens the language model takes.

    Raises:
        SettingsError: `vocab_size` has no room for 256 bytes and the special tokens.
    """
    if vocab_size < (least := 256 + len(SPECIALS)):
        raise SettingsError(f"vocab_size {vocab_size}: wanted at least {least}, for 256 bytes and special tokens")
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(_PIECES, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        show_progress=False,
        special_tokens=[AddedToken(s, special=True, normalized=False) for s in SPECIALS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = TokenizersBackend(
        tokenizer_object=bpe,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def add_marks(tokenizer: PreTrainedTokenizerBase, config: ForgeryAssistantConfig) -> None:
    """Makes `<image>`, `<mask>`, `<region>` and `<SEG>` single tokens and tells the configuration their ids.

    The language model's own vocabulary is not touched (see `assistant.AddedRows`).
    """
    tokenizer.add_tokens([AddedToken(mark, special=True, normalized=False) for mark in MARKS], special_tokens=True)
    ids = {mark: int(tokenizer.convert_tokens_to_ids(mark)) for mark in MARKS}
    config.set_marks(ids)
    if tokenizer.chat_template is None:
        tokenizer.chat_template = PLAIN_CHAT_TEMPLATE
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
