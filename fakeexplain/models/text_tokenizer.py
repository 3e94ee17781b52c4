"""A small byte-level BPE vocabulary for the text tower of the embedded default: one file, read offline, any text.

Byte pair encoding after Sennrich et al., ACL 2016, on bytes, so that no text is ever out of vocabulary. Padding, start
and end are ids and not strings: nothing that somebody writes can become one of them. Deliberately left out: the
vocabularies of other towers (open_clip brings its own) and of the language model.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from fakeexplain.errors import SettingsError

PAD_ID, START_ID, END_ID = 0, 1, 2
SPECIAL_IDS = 3  # entries of the vocabulary file begin here
_LEAST_VOCABULARY = 256 + SPECIAL_IDS


class CaptionTokenizer:
    """Texts to token ids. Upper case, runs of white space and Unicode compositions are not told apart.

    Args:
        bpe: a byte-level BPE without special tokens, from `train` or `from_file`.
    """

    def __init__(self, bpe: Tokenizer) -> None:
        self._bpe = bpe

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> CaptionTokenizer:
        """Learns merges from texts; the same texts in the same order give the same vocabulary.

        Args:
            vocab_size: most entries, the three special ids included; at least 259.

        Raises:
            SettingsError: `vocab_size` is smaller than that.
        """
        if vocab_size < _LEAST_VOCABULARY:
            raise SettingsError(
                f"vocab_size {vocab_size}: wanted at least {_LEAST_VOCABULARY}, for 256 bytes and 3 special ids"
            )
        bpe = Tokenizer(models.BPE())
        bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        bpe.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size - SPECIAL_IDS,
            min_frequency=2,
            show_progress=False,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        )
        bpe.train_from_iterator((_clean(text) for text in texts), trainer)
        return cls(bpe)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> CaptionTokenizer:
        """Reads what `save` wrote.

        Raises:
            SettingsError: no such file, or not a byte-level BPE without special tokens.
        """
        wanted = "wanted a file that CaptionTokenizer.save wrote"
        if not os.path.isfile(path):
            raise SettingsError(f"{os.fspath(path)}: no such file; {wanted}")
        try:
            bpe = Tokenizer.from_file(os.fspath(path))
        except Exception as error:  # the library raises bare Exception
            raise SettingsError(f"{os.fspath(path)}: not a tokenizer ({error}); {wanted}") from None
        missing = set(pre_tokenizers.ByteLevel.alphabet()) - set(bpe.get_vocab(with_added_tokens=False))
        if missing or bpe.get_added_tokens_decoder():
            raise SettingsError(f"{os.fspath(path)}: {len(missing)} bytes without an entry or added tokens; {wanted}")
        return cls(bpe)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes one JSON file (about 25 kB for 1,200 entries)."""
        self._bpe.save(os.fspath(path), pretty=False)

    @property
    def vocab_size(self) -> int:
        """Number of ids, the three special ones included."""
        return int(self._bpe.get_vocab_size()) + SPECIAL_IDS

    def encode(self, text: str) -> list[int]:
        """Ids of a text without start, end and padding; empty for a text without visible characters."""
        cleaned = _clean(text)
        return [i + SPECIAL_IDS for i in self._bpe.encode(cleaned).ids] if cleaned else []

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids in lower case; special ids are passed over."""
        return str(self._bpe.decode([i - SPECIAL_IDS for i in ids if i >= SPECIAL_IDS])).strip()

    def __call__(self, texts: Sequence[str], context_length: int) -> Tensor:
        """int64 (B, context_length): start, text, end, padding. Longer texts lose their end, never the end token."""
        if isinstance(texts, str):
            raise TypeError("texts: a str came, wanted a list of str; write [text]")
        rows = torch.full((len(texts), context_length), PAD_ID, dtype=torch.long)
        for row, text in zip(rows, texts, strict=True):
            ids = [START_ID, *self.encode(text)[: context_length - 2], END_ID]
            row[: len(ids)] = torch.tensor(ids)
        return rows


def _clean(text: str) -> str:
    """Single spaces, and lone surrogates (which have no bytes) as question marks."""
    return " ".join(text.split()).encode("utf-8", "replace").decode("utf-8")
