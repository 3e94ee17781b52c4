"""Two of the three data sets: what is plainly there (image-text), and what a given mask covers (mask-text).

Deliberately left out: verdicts. A mask given here is a place to describe, forged or not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from data_tools.forge.regions import draw_region, sample_area
from data_tools.instructions import description_phrases as d
from data_tools.instructions import phrases as p
from data_tools.instructions import seen
from data_tools.instructions.grammar import choose, tidy
from data_tools.instructions.picture import Picture
from data_tools.instructions.questions import MASK_QUESTIONS, SEEN_QUESTIONS
from data_tools.instructions.quotes import box_words, cite, place_of, quote, size_of
from data_tools.instructions.short_facts import in_place
from data_tools.schema import IMAGE_TOKEN, Message, TurnRegion, inline_mask
from fakeexplain.imaging.regions import region_of_mask
from fakeexplain.instruments.region_contrast import STATISTICS
from fakeexplain.reasoning.numbers import number_words
from fakeexplain.records import Evidence

UNUSUAL = 2.5  # per cent: ranks outside the middle 95 % are said to be unusual
TRACE_STATISTICS = ("noise", "sharpness", "jpeg_grid")  # those that an operation may be tied to
SHORT = {
    "noise": "the noise",
    "sharpness": "the sharpness ratio",
    "jpeg_grid": "the strength of the JPEG grid",
    "lightness": "the mean lightness",
    "green_red": "the mean green-red balance",
    "blue_yellow": "the mean blue-yellow balance",
    "saturation": "the mean saturation",
}


def describe_seen(facts: dict[str, Any], topic: str, rng: np.random.Generator) -> list[str]:
    """Sentences on one topic of `questions.SEEN_QUESTIONS`."""
    words = {
        **{key: str(facts[key]) for key in ("width", "height", "format", *seen.SCALES)},
        "brightest_in": in_place(facts["brightest"]),
        "darkest_in": in_place(facts["darkest"]),
        "colours": ", ".join(f"{n} ({number_words(100 * s)} %)" for n, s in facts["colours"].items())
        or "none in particular",
    }
    said = {
        "framing": [choose(d.SIZE_WORDS, words, rng)],
        "light": [choose(d.LIGHT_WORDS, words, rng), choose(d.LIGHT_PLACES, words, rng)],
        "colours": [choose(d.COLOUR_WORDS, words, rng), choose(d.COLOURFUL_WORDS, words, rng)],
        "detail": [choose(d.DETAIL_WORDS, words, rng)],
        "objects": _objects(facts, rng),
    }
    if topic != "all":
        return said[topic]
    order = [t for t in ("objects", "light", "colours", "detail", "framing") if t != "objects" or facts["objects"]]
    chosen = [t for t in order if rng.random() < 0.75] or order
    return [s for t in chosen for s in said[t][: 2 if t == "objects" else int(rng.integers(1, 3))]]


def _objects(facts: dict[str, Any], rng: np.random.Generator) -> list[str]:
    found = facts["objects"][:5]
    if not found:
        return [choose(d.NO_OBJECTS, {}, rng)]
    listed = "; ".join(f"{o['name']} {in_place(o['place'])}, {number_words(100 * o['share'])} %" for o in found)
    said = [choose(d.OBJECT_WORDS, {"objects": listed}, rng)]
    pairs = [(a, b) for a in found for b in found if b["centre"][0] - a["centre"][0] > 0.15 and a["name"] != b["name"]]
    if pairs:
        first, second = pairs[int(rng.integers(len(pairs)))]
        if rng.random() < 0.5:
            values = {"first": first["name"], "side": "left of", "second": second["name"]}
        else:
            values = {"first": second["name"], "side": "right of", "second": first["name"]}
        said.append(choose(d.OBJECT_SIDE, values, rng))
    return said


def seen_dialogue(facts: dict[str, Any], rng: np.random.Generator, first: str = "all") -> tuple[Message, ...]:
    """One or two exchanges about what is plainly there; the first is about `first`."""
    topics = [first]
    others = [t for t in SEEN_QUESTIONS if t not in ("all", first) and (t != "objects" or facts["objects"])]
    topics += [others[int(rng.integers(len(others)))]] if rng.random() < 0.5 else []
    turns = []
    for topic in topics:
        turns.append(Message(role="user", content=choose(SEEN_QUESTIONS[topic], {}, rng)))
        turns.append(Message(role="assistant", content=" ".join(describe_seen(facts, topic, rng))))
    return with_image(turns)


def with_image(turns: list[Message]) -> tuple[Message, ...]:
    first = turns[0].model_copy(update={"content": f"{IMAGE_TOKEN}\n{turns[0].content}"})
    return (first, *turns[1:])


def chosen_region(picture: Picture, number: int, rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    """(bool HxW, operations done in it): an edit of a forged picture, or a place where nothing was done.

    Every third region of a forged picture is one that was not touched, as in authentic ones.
    """
    sample = picture.sample
    if sample.label and number % 3 != 2:
        mask = sample.edit_masks[number % len(sample.edit_masks)]
    else:
        rgb, mask = sample.image, np.zeros(0, bool)
        if min(rgb.shape[:2]) < 16:
            return np.ones(rgb.shape[:2], bool), ()
        for _ in range(6):
            shape = ("blob", "polygon", "segment", "stroke")[int(rng.integers(4))]
            mask = draw_region(shape, rgb, sample_area(rng, 0.004, 0.3), rng)  # type: ignore[arg-type]
            if not (mask & sample.mask).any():
                break
    names = [
        n for n, m in zip(sample.operations, sample.edit_masks, strict=True) if (m & mask).sum() > 0.3 * mask.sum()
    ]
    return mask, tuple(names)


def mask_dialogue(
    picture: Picture, mask: np.ndarray, operations: tuple[str, ...], rng: np.random.Generator, *, boxes: bool = True
) -> tuple[tuple[Message, ...], tuple[Evidence, ...], dict[str, Any]]:
    """Two to four exchanges about a given mask.

    Args:
        boxes: the place is told with the region's box in pixels.

    Returns:
        turns (the first carries the mask as `region`), the measurement they cite, and the facts for the history.
    """
    region = region_of_mask(mask, "R1")
    measured = picture.measure("region_contrast", mask)
    evidence: tuple[Evidence, ...] = ()
    if isinstance(measured, Evidence):
        evidence = (measured.model_copy(update={"id": "E1", "region": region}),)
    shape = seen.outline(mask)
    fit = fitting_operation(evidence, operations)
    facts = {"on": "mask", "region": "R1", "operations": list(operations), "shape": shape, "fits": fit or ""}
    if isinstance(measured, str):
        facts["reason"] = _reason(measured)
    words = {
        "region": "R1",
        "place": place_of(region),
        "box": box_words(region.box_xyxy),
        "percent": size_of(region).replace(" of the image", ""),
        "size_word": seen.size_word(region.area_fraction),
        "shape": shape["word"],
        "parts": str(shape["parts"]),
        "cites": cite(evidence),
    }
    said = {
        "where": [choose(d.MASK_WHERE if boxes else d.MASK_PLACE, words, rng)],
        "size": [choose(d.MASK_SIZE, words, rng)],
        "shape": [choose(d.MASK_SHAPE, words, rng)]
        + ([choose(d.MASK_PARTS, words, rng)] if shape["parts"] > 1 else []),
        "differs": _differs(evidence, measured, words, rng),
        "operation": _operation(evidence, fit, words, rng),
    }
    said["all"] = [s for part in ("where", "size", "shape", "differs", "operation") for s in said[part][:2]]
    topics = list(rng.permutation(["where", "size", "shape", "differs", "operation"])[: int(rng.integers(2, 4))])
    if rng.random() < 0.35:
        topics = ["all"]
    turns = []
    for topic in topics:
        turns.append(Message(role="user", content=choose(MASK_QUESTIONS[str(topic)], words, rng)))
        text = " ".join(said[str(topic)])
        ids = tuple(e.id for e in evidence if f"[{e.id}]" in text)
        turns.append(Message(role="assistant", content=text, evidence_ids=ids))
    asked = TurnRegion(id="R1", box_xyxy=region.box_xyxy, mask=inline_mask(mask))
    turns[0] = turns[0].model_copy(update={"region": asked})
    return with_image(turns), evidence, facts


def unusual(item: Evidence) -> list[str]:
    """Statistics of a region_contrast record whose rank lies outside the middle 95 %, most unusual first."""
    ranks = {n: item.details[n]["percentile"] for n in STATISTICS if item.details[n]["percentile"] is not None}
    far = {n: abs(r - 50) for n, r in ranks.items() if r <= UNUSUAL or r >= 100 - UNUSUAL}
    return sorted(far, key=lambda n: -far[n])


def fitting_operation(evidence: tuple[Evidence, ...], operations: tuple[str, ...]) -> str | None:
    """The operation that may be named: the only one done there, and only where a trace statistic is unusual."""
    if len(set(operations)) != 1 or not evidence:
        return None
    return operations[0] if set(unusual(evidence[0])) & set(TRACE_STATISTICS) else None


def _reason(error: str) -> str:
    return error.removeprefix("region_contrast: ")


def _differs(
    evidence: tuple[Evidence, ...], measured: Evidence | str, words: dict[str, str], rng: np.random.Generator
) -> list[str]:
    if not evidence:
        return [choose(p.UNMEASURABLE, {**words, "reason": quote(_reason(str(measured)))}, rng)]
    item, said = evidence[0], []
    strange = unusual(item)
    others = [n for n in STATISTICS if n not in strange]
    for name in [*strange[:2], *([str(rng.permutation(others)[0])] if others else [])]:
        row, unit = item.details[name], STATISTICS[name][1]
        if row["inside"] is None or row["surroundings"] is None:
            continue
        values = {
            **words,
            "statistic": SHORT[name],
            "statistic_inside": SHORT[name],
            "value": f"{number_words(row['inside'])} {unit}".strip(),
            "reference": f"{number_words(row['surroundings'])} {unit}".strip(),
        }
        said.append(choose(d.MASK_DIFFERS, values, rng))
        if row["percentile"] is not None and rng.random() < 0.6:
            places = str(item.details["same_size_regions"])
            rank = {
                "rank": f"{row['percentile']:.0f}",
                "places": places,
                "statistic_inside": SHORT[name].removeprefix("the "),
            }
            said.append(choose(d.MASK_RANK, {**words, **rank}, rng))
    if not strange:
        said.append(choose(d.MASK_ORDINARY, words, rng))
    return [tidy(s) for s in said] or [choose(p.UNMEASURABLE, {**words, "reason": "too little detail"}, rng)]


def _operation(
    evidence: tuple[Evidence, ...], operation: str | None, words: dict[str, str], rng: np.random.Generator
) -> list[str]:
    if operation is None:
        return [choose(d.MASK_NO_OPERATION, words, rng)]
    said = p.OPERATION_PHRASES[operation]
    return [choose(d.MASK_OPERATION, {**words, "operation": said[int(rng.integers(len(said)))]}, rng)]
