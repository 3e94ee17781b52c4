"""Image-text pairs for contrastive training: crops of photographs, each with a caption measured on that very crop.

Nobody wrote these captions and no model made them: `data_tools.instructions.seen` measures light, colours, texture,
sharpness and (where object labels exist) objects on the view that the tower will see, and its phrases word them. So
every caption is true of its picture and can be recomputed. `python -m training.alignment_pairs --out FILE` trains the
vocabulary of the small text tower on such captions, from random facts and without any photograph. Deliberately left
out: the training loop, and anything a caption cannot be checked for (names of people, actions, moods).
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from data_tools.forge.config import ForgeConfig
from data_tools.forge.photos import Photo, list_photos
from data_tools.instructions import seen
from data_tools.instructions.alignment import describe_seen
from data_tools.instructions.categories import CATEGORIES
from data_tools.instructions.grammar import choose
from fakeexplain.errors import SettingsError, SourceError
from fakeexplain.imaging.regions import place_words
from fakeexplain.models.text_tokenizer import CaptionTokenizer

LEAST_CROP = 128  # pixels of the kept photograph
LABELLED_SHARE = 0.2  # of the training pairs come from photographs with object labels, where there are any
MOST_OBJECTS, MOST_COLOURS = 2, 3  # named in one caption: more do not fit the context of the small text tower
FORMAT_WORDS = ("{It is|The picture is|The view is} {format}.", "{Framing|Format}: {format}.")
MOST_PIECES = 42  # words, numbers and signs in one caption; the small text tower reads 46 tokens
TEXT_TOWER_VOCABULARY = 1280  # entries, as in configs/model/open_clip/tiny.json
_PIECE = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class _Kept:
    """Where one reduced photograph lies in the flat pixel store."""

    start: int
    height: int
    width: int


class AlignmentPairs(Dataset[dict[str, Any]]):
    """A map-style data set of {"image": uint8 (3, view, view) tensor, "caption": str}.

    Pair `index` depends on (seed, index) alone. Photographs are decoded once, reduced and kept in one shared tensor:
    worker processes do not copy it. A photograph of 640 x 480 takes 0.5 MB at the default `longest_side`.

    Args:
        photos: see `data_tools.forge.photos.list_photos`.
        count: pairs of one epoch.
        view: side of the square view in pixels; crops are squeezed to it, as `VisionEncoder.view` does.
        seed: at least 0.
        varied: True draws a photograph at random, flips half of the crops and changes light, saturation and sharpness
            of two in three before anything is measured; False takes the photographs in turn, as they are.
        longest_side: to which a photograph is reduced when it is kept.

    Raises:
        SettingsError: no photograph, or a number out of range.
        SourceError: a photograph has gone or is broken.
    """

    def __init__(
        self,
        photos: Sequence[Photo],
        *,
        count: int,
        view: int = 128,
        seed: int = 0,
        varied: bool = True,
        longest_side: int = 480,
    ) -> None:
        if not photos or count < 1 or view < 16 or seed < 0 or longest_side < LEAST_CROP:
            raise SettingsError(
                f"alignment pairs: {len(photos)} photos, count {count}, view {view}, seed {seed}, longest_side "
                f"{longest_side} came; wanted at least 1, 1, 16, 0, {LEAST_CROP}"
            )
        self._count, self._view, self._seed, self._varied = count, view, seed, varied
        self._kept: list[_Kept] = []
        self._labels: dict[int, np.ndarray] = {}
        flat, start = [], 0
        for number, photo in enumerate(photos):
            rgb, labels = _read_reduced(photo, longest_side)
            if labels is not None:
                self._labels[number] = labels
            self._kept.append(_Kept(start, *rgb.shape[:2]))
            flat.append(rgb.reshape(-1))
            start += rgb.size
        self._pixels = torch.from_numpy(np.concatenate(flat)).share_memory_()
        self._labelled = sorted(self._labels)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self._count:
            raise IndexError(f"pair {index} of {self._count}")
        rng = np.random.default_rng([self._seed, index])
        number = self._photo_number(index, rng)
        kept = self._kept[number]
        size = kept.height * kept.width * 3
        rgb = self._pixels[kept.start : kept.start + size].numpy().reshape(kept.height, kept.width, 3)
        x0, y0, x1, y1 = random_crop(kept.height, kept.width, rng)
        view = _squeeze(rgb[y0:y1, x0:x1], self._view)
        labels = self._labels.get(number)
        if labels is not None:
            crop = np.ascontiguousarray(labels[y0:y1, x0:x1])
            labels = cv2.resize(crop, (self._view, self._view), interpolation=cv2.INTER_NEAREST)
        if self._varied:
            if rng.random() < 0.5:
                view, labels = view[:, ::-1], None if labels is None else labels[:, ::-1]
            view = vary(view, rng)
        view = np.ascontiguousarray(view)
        caption = caption_of(facts_of(view, labels, (x1 - x0, y1 - y0)), rng)
        return {"image": torch.from_numpy(view).permute(2, 0, 1).contiguous(), "caption": caption}

    def _photo_number(self, index: int, rng: np.random.Generator) -> int:
        if not self._varied:
            return index % len(self._kept)
        if self._labelled and rng.random() < LABELLED_SHARE:
            return self._labelled[int(rng.integers(len(self._labelled)))]
        return int(rng.integers(len(self._kept)))


def split_pairs(
    folder: Path, *, count: int, held_out_count: int, view: int = 128, seed: int = 0, permissive: bool = False
) -> tuple[AlignmentPairs, AlignmentPairs]:
    """(training, held-out) pairs of a folder; copies and crops of one photograph are never parted.

    The split is the forge's, by the name of the photograph. Held-out pairs are not varied and take each photograph in
    turn, so that `held_out_count` of them show as many photographs as there are.

    Raises:
        SettingsError: no folder, or one side is empty.
    """
    sides = []
    for side in ("training", "validation"):
        config = ForgeConfig(split=side, permissive=permissive)
        sides.append(list_photos(folder, LEAST_CROP, config))
    training = AlignmentPairs(sides[0], count=count, view=view, seed=seed)
    return training, AlignmentPairs(sides[1], count=held_out_count, view=view, seed=seed, varied=False)


def random_crop(height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """A box xyxy in pixels: each side log-uniform from `LEAST_CROP` to all, sides within a factor of 2 of the
    photograph's own proportions. A side shorter than `LEAST_CROP` is taken whole."""
    scale = np.exp(rng.uniform(np.log(min(LEAST_CROP / min(height, width), 1.0)), 0.0))
    stretch = np.exp(rng.uniform(-0.35, 0.35))
    crop_width = int(np.clip(width * scale * stretch, min(LEAST_CROP, width), width))
    crop_height = int(np.clip(height * scale / stretch, min(LEAST_CROP, height), height))
    x, y = int(rng.integers(width - crop_width + 1)), int(rng.integers(height - crop_height + 1))
    return x, y, x + crop_width, y + crop_height


def vary(view: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A view with other light, saturation or sharpness, so that a caption's words do not stand for a photograph.

    Args:
        view: uint8 HxWx3.
    """
    if rng.random() < 1 / 3:
        return view
    ramp = np.linspace(0, 1, 256) ** np.exp(rng.uniform(-0.9, 0.9))
    ramp = 0.5 + (ramp - 0.5) * rng.uniform(0.5, 1.0)
    view = cv2.LUT(np.ascontiguousarray(view), np.rint(255 * ramp).astype(np.uint8))
    if rng.random() < 0.5:
        grey = cv2.cvtColor(view, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, axis=2)
        share = float(rng.uniform(0, 1.5))
        view = cv2.addWeighted(view, share, grey, 1 - share, 0)
    if rng.random() < 0.3:
        view = cv2.GaussianBlur(view, (0, 0), float(rng.uniform(0.5, 2.0)))
    return view


def facts_of(view: np.ndarray, labels: np.ndarray | None, crop_size: tuple[int, int]) -> dict[str, Any]:
    """`seen.look` of the view, with the proportions of the crop it was squeezed from, cut to what a caption holds.

    Args:
        view: uint8 HxWx3.
        labels: uint8 HxW category ids in the same frame, or None.
        crop_size: (width, height) of the crop in pixels.
    """
    facts = seen.look(view, labels)
    width, height = crop_size
    facts["format"] = seen.FORMATS[0 if width == height else 1 if width > height else 2]
    return _shortened(facts)


def _squeeze(rgb: np.ndarray, side: int) -> np.ndarray:
    """uint8 HxWx3 to side x side, by the kernel of `VisionEncoder.view`: what is measured is what the tower sees."""
    pixels = torch.from_numpy(rgb).permute(2, 0, 1)[None]
    small = F.interpolate(pixels, (side, side), mode="bilinear", align_corners=False, antialias=True)
    return np.ascontiguousarray(small[0].permute(1, 2, 0).numpy())


def _shortened(facts: dict[str, Any]) -> dict[str, Any]:
    """At most so many colours and objects, largest first, and shares in whole per cent from 10 % on."""
    colours = list(facts["colours"].items())[:MOST_COLOURS]
    objects = [{**o, "share": _rounded(o["share"])} for o in facts["objects"][:MOST_OBJECTS]]
    return {**facts, "colours": {name: _rounded(share) for name, share in colours}, "objects": objects}


def _rounded(share: float) -> float:
    return round(share, 2 if share >= 0.1 else 3)


def caption_of(facts: dict[str, Any], rng: np.random.Generator) -> str:
    """Two or three sentences of at most `MOST_PIECES`: objects first where there are any, then random topics.

    Args:
        facts: from `facts_of` or `random_facts`.
    """
    topics = [str(t) for t in rng.permutation(["light", "colours", "detail", "framing"])]
    if facts["objects"] and rng.random() < 0.85:
        topics = ["objects", *topics]
    said: list[str] = []
    for topic in topics[: int(rng.integers(2, 4))]:
        if topic == "framing":  # the phrases of `describe_seen` state pixels, which a view does not show
            sentence = choose(FORMAT_WORDS, {"format": facts["format"]}, rng)
        else:
            sentences = describe_seen(facts, topic, rng)
            sentence = sentences[0 if topic == "objects" else int(rng.integers(len(sentences)))]
        if not said or len(_PIECE.findall(" ".join([*said, sentence]))) <= MOST_PIECES:
            said.append(sentence)
    return " ".join(said)


def _read_reduced(photo: Photo, longest_side: int) -> tuple[np.ndarray, np.ndarray | None]:
    """(uint8 HxWx3 upright, uint8 HxW labels or None), the longer side at most `longest_side`."""
    labels = photo.read_labels()
    try:
        with Image.open(photo.path) as image:
            image.draft("RGB", (longest_side, longest_side))  # a JPEG decoder can halve by itself
            if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
                labels = None  # they lie in the stored frame
            rgb = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise SourceError(f"{photo.path}: cannot be decoded ({error}); take it out of the folder") from None
    scale = min(longest_side / max(rgb.shape[:2]), 1.0)
    size = (max(round(rgb.shape[1] * scale), 1), max(round(rgb.shape[0] * scale), 1))
    rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return rgb, None if labels is None else cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)


@torch.no_grad()
def retrieval_metrics(image_embeddings: Tensor, text_embeddings: Tensor) -> dict[str, float]:
    """How well images find their own texts among all, and texts their images; row i belongs to row i.

    A rank counts every other candidate that is at least as similar, so that embeddings which have collapsed into one
    point come out worst, not best.

    Args:
        image_embeddings, text_embeddings: (N, E) of norm 1.

    Returns:
        for "image_to_text" and "text_to_image": `_r1` and `_r5`, shares in [0, 1], and `_median_rank` from 1.
    """
    if image_embeddings.shape != text_embeddings.shape or image_embeddings.ndim != 2 or not len(image_embeddings):
        raise ValueError(
            f"{tuple(image_embeddings.shape)} and {tuple(text_embeddings.shape)} came, wanted (N, E) twice"
        )
    similarity = image_embeddings.double() @ text_embeddings.double().T
    metrics: dict[str, float] = {}
    for name, rows in (("image_to_text", similarity), ("text_to_image", similarity.T)):
        ranks = (rows >= rows.diagonal()[:, None]).sum(1)
        metrics[f"{name}_r1"] = float((ranks <= 1).double().mean())
        metrics[f"{name}_r5"] = float((ranks <= 5).double().mean())
        metrics[f"{name}_median_rank"] = float(ranks.double().quantile(0.5))
    return metrics


def random_facts(rng: np.random.Generator) -> dict[str, Any]:
    """Facts that no picture has, of the form `facts_of` returns: what captions can be about, evenly."""

    def some_place() -> str:
        mask = np.zeros((3, 3), bool)
        mask[int(rng.integers(3)), int(rng.integers(3))] = True
        return place_words(mask)

    def shares(most: int) -> list[float]:
        return sorted((round(float(s), 4) for s in rng.dirichlet(np.ones(most + 1))[:most]), reverse=True)

    names = [CATEGORIES[int(c)] for c in rng.choice(list(CATEGORIES), int(rng.integers(1, MOST_OBJECTS + 1)), False)]
    colours = [str(c) for c in rng.choice(seen.COLOURS, int(rng.integers(0, MOST_COLOURS + 1)), False)]
    words = {name: str(rng.choice([w for _, w in scale])) for name, scale in seen.SCALES.items()}
    facts = {
        **words,
        "width": 1,
        "height": 1,
        "format": str(rng.choice(seen.FORMATS)),
        "colours": dict(zip(colours, shares(len(colours)), strict=True)),
        "brightest": some_place(),
        "darkest": some_place(),
        "objects": [
            {"name": n, "share": s, "place": some_place(), "centre": [0.5, 0.5]}
            for n, s in zip(names, shares(len(names)), strict=True)
        ],
    }
    return _shortened(facts)


def caption_texts(count: int, seed: int = 0) -> Iterator[str]:
    """Captions of random facts, and every category once: what the vocabulary is trained on."""
    yield from CATEGORIES.values()
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        yield caption_of(random_facts(rng), rng)


def main() -> None:
    """Trains and writes the vocabulary."""
    parser = argparse.ArgumentParser(description="Train the vocabulary of the small text tower on generated captions.")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--count", type=int, default=20_000, help="captions to train on")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    tokenizer = CaptionTokenizer.train(caption_texts(arguments.count, arguments.seed), TEXT_TOWER_VOCABULARY)
    tokenizer.save(arguments.out)
    print(f"{arguments.out}: {tokenizer.vocab_size} entries, {arguments.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
