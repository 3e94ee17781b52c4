"""The third data set: dialogues of several turns about the examination of a picture, with tool turns and <SEG>.

An exchange is one question and its answer; a tool exchange is question, call (`measure noise on R1`), the instrument's
new evidence, answer. Evidence that no tool turn brought is known from the start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from data_tools.instructions.alignment import with_image
from data_tools.instructions.answers import Answers
from data_tools.instructions.grammar import choose
from data_tools.instructions.phrases import INSTRUMENT_ASKED
from data_tools.instructions.picture import Picture
from data_tools.instructions.questions import BANKED, QUESTIONS, bank
from data_tools.instructions.quotes import box_words, value_words
from data_tools.schema import Message, TurnRegion, inline_mask
from fakeexplain.imaging.regions import decode_mask, mask_of_box, region_of_mask
from fakeexplain.reasoning.grounding import Checker
from fakeexplain.reasoning.intents import Asked, understand
from fakeexplain.reasoning.touching import touching
from fakeexplain.reasoning.wording import describe_bare
from fakeexplain.records import REGION_TEST, Evidence, Region
from fakeexplain.verdict import EXPERT

OPENINGS = {
    "detect": 0.6,
    "locate": 0.15,
    "leading": 0.08,
    "region_words": 0.05,
    "tool": 0.04,
    "child": 0.04,
    "court": 0.04,
}
OFTEN = ("region_box", "explain", "causes", "not_tested", "instruments")  # what small models mix up most
POINTED = "R999"  # stands for `<SEG>` where an answer is checked
BANK_SHARE = 0.6  # of the questions that the reader's bank has a wording for
TRIES = 4  # to draw a question that the reader takes for what it asks
CELLS = {
    ("centre" if (r, c) == (1, 1) else f"{row} {column}"): (c, r)
    for r, row in enumerate(("upper", "middle", "lower"))
    for c, column in enumerate(("left", "centre", "right"))
}


@dataclass
class _State:
    """What grows during one dialogue: turns, evidence by tools, regions by name."""

    turns: list[Message] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    regions: dict[str, np.ndarray] = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)
    next_evidence: int = 1
    next_region: int = 1


class Dialogues:
    """Writes the dialogues of one picture; topics are spread over them so that each picture covers many.

    Args:
        picture: examined picture.
        rng: draws topics and wording.
    """

    def __init__(self, picture: Picture, rng: np.random.Generator) -> None:
        self.picture, self.rng = picture, rng
        self.answers = Answers(picture, rng)
        self.waiting: list[str] = []

    def _topics(self) -> list[str]:
        opening = list(OPENINGS)
        weights = np.array(list(OPENINGS.values()))
        topics = [str(self.rng.choice(opening, p=weights / weights.sum()))]
        for _ in range(int(self.rng.integers(1, 4))):
            if not self.waiting:
                everything = [*(t for t in QUESTIONS if t != "detect"), *BANKED, *OFTEN, "tool", "tool", "show"]
                if self.answers.findings:  # what only a finding can teach
                    everything += ["show", "explain", "causes", "locate", "source_of_copy"]
                self.waiting = [str(t) for t in self.rng.permutation(everything)]
            topic = self.waiting.pop()
            if topic not in topics or topic == "tool":
                topics.append(topic)
        return topics

    def write(self) -> tuple[tuple[Message, ...], tuple[Evidence, ...]]:
        """One dialogue and all evidence it may cite."""
        evidence = self.picture.examination.evidence
        regions = [r for e in evidence for r in e.areas]
        state = _State(next_evidence=len(evidence) + 1, next_region=len(regions) + 1)
        for item in self.answers.findings:
            for region in (item.region, item.partner):
                if region is not None:
                    state.regions[region.id] = decode_mask(region.mask)
        for topic in self._topics():
            self._exchange(topic, state)
        return with_image(state.turns), (*evidence, *state.evidence)

    def _ask(
        self, state: _State, topic: str, values: Mapping[str, str] | None = None, about: TurnRegion | None = None
    ) -> Asked:
        """Asks about a topic; returns what the reader of questions makes of it."""
        content = self._worded(topic, values or {})
        state.turns.append(Message(role="user", content=content, region=about))
        return understand(content, has_region=about is not None)

    def _worded(self, topic: str, values: Mapping[str, str]) -> str:
        """From the templates, or from the bank where the reader takes that question for what it asks."""
        banked = bank(topic)
        if banked and (topic not in QUESTIONS or self.rng.random() < BANK_SHARE):
            for _ in range(TRIES):
                content = choose(banked, values, self.rng)
                asked = understand(content)
                if asked.intent == topic and not asked.also:
                    return content
        return choose(QUESTIONS.get(topic, banked), values, self.rng)

    def _answer(self, state: _State, sentences: list[str], region: Region | None = None) -> None:
        text = " ".join(self._carried(state, sentences, region))
        known = [e.id for e in (*self.picture.examination.evidence, *state.evidence)]
        ids = tuple(i for i in known if f"[{i}]" in text)
        turn_region = None
        if region is not None and "<SEG>" in text:  # the sentence that points may have been refused
            mask = inline_mask(decode_mask(region.mask))
            turn_region = TurnRegion(id=region.id, box_xyxy=region.box_xyxy, mask=mask)
        state.turns.append(Message(role="assistant", content=text, evidence_ids=ids, region=turn_region))

    def _carried(self, state: _State, sentences: list[str], pointed: Region | None) -> list[str]:
        """The sentences that the checker of answers lets pass: it would be of no use to teach the others."""
        regions = {i: region_of_mask(mask, i) for i, mask in state.regions.items()}
        if pointed is not None:
            regions[POINTED] = pointed.model_copy(update={"id": POINTED})
        evidence = (*self.picture.examination.evidence, *state.evidence)
        checker = Checker(self.picture.examination, evidence, regions, state.failed)
        kept = [s for s in sentences if checker.check(s.replace("<SEG>", POINTED)).finding != "unsupported"]
        return kept or self.answers.verdict()

    def _exchange(self, topic: str, state: _State) -> None:
        say = self.answers
        plain = {
            **{"detect": say.verdict, "locate": say.locate, "explain": say.explain, "confidence": say.confidence},
            **{"causes": say.other_causes, "child": say.child, "court": say.court, "off_topic": say.off_topic},
            **{"next_steps": say.next_steps, "file": say.file, "not_tested": say.not_tested},
            **{"camera": say.camera, "date": say.date, "software": say.software, "format": say.format},
            "instruments": say.instruments,
        }
        if topic in plain:
            self._ask(state, topic)
            self._answer(state, plain[topic]())
        elif topic in ("disagree_fake", "disagree_real", "pressure", "leading", "injection"):
            self._ask(state, topic)
            self._answer(state, say.pressed(leading=topic in ("leading", "injection")))
        elif topic in ("show", "source_of_copy"):
            self._ask(state, topic)
            sentences, region = say.show() if topic == "show" else say.source_of_copy()
            self._answer(state, sentences, region)
        elif topic == "evidence":
            tellable = say.tellable()
            if tellable:
                item = tellable[int(self.rng.integers(len(tellable)))]
                self._ask(state, topic, {"evidence": item.id})
                self._answer(state, say.about(item))
        elif topic == "compare":
            pair = next((e for e in say.findings if e.region is not None and e.partner is not None), None)
            if pair is not None and pair.region is not None and pair.partner is not None:
                self._ask(state, topic, {"region": pair.region.id, "other_region": pair.partner.id})
                self._answer(state, say.compare(pair))
        elif topic in ("region_box", "region_size"):
            region = self._box(state)
            about = TurnRegion(id=region.id, box_xyxy=region.box_xyxy)
            asked = self._ask(state, topic, {"box": box_words(region.box_xyxy), "region": region.id}, about)
            if topic == "region_size" or asked.size:
                self._answer(state, say.extent(region))
            else:
                self._answer(state, [*say.region(region), *self._tested(state, region, asked)])
        elif topic == "region_words":
            name = list(CELLS)[int(self.rng.integers(9))]
            region = self._cell(name, state)
            about = TurnRegion(id=region.id, box_xyxy=region.box_xyxy, words=name)
            asked = self._ask(state, topic, {"place": name}, about)
            self._answer(state, [*say.region(region), *self._tested(state, region, asked)])
        elif topic == "tool":
            self._tool(state)

    def _tested(self, state: _State, region: Region, asked: Asked) -> list[str]:
        """The expert's test of a region, made where a conversation makes it (`answering.Turn`), and what it brought."""
        wanted = asked.intent == "region" and asked.certain and self.picture.examiner.tests_regions
        if not wanted or touching(region, self.answers.findings) or not self.picture.examination.quality.examinable:
            return []
        state.turns.append(Message(role="assistant", content=f"measure {EXPERT} on {region.id}"))
        item = self._brought(state, EXPERT, region.id)
        return self.answers.unmeasurable(region.id, item) if isinstance(item, str) else self.answers.tested(item)

    def _named(self, mask: np.ndarray, state: _State) -> Region:
        region = region_of_mask(mask, f"R{state.next_region}")
        state.next_region += 1
        state.regions[region.id] = mask
        return region

    def _cell(self, name: str, state: _State) -> Region:
        height, width = self.picture.source.height, self.picture.source.width
        c, r = CELLS[name]
        box = (c * width // 3, r * height // 3, (c + 1) * width // 3, (r + 1) * height // 3)
        return self._named(mask_of_box(box, height, width), state)

    def _box(self, state: _State) -> Region:
        """Half of the boxes are drawn about a finding or about what the forge changed, the others anywhere."""
        height, width = self.picture.source.height, self.picture.source.width
        sample, rng = self.picture.sample, self.rng
        w, h = (int(side * rng.uniform(0.12, 0.5)) for side in (width, height))
        x, y = int(rng.integers(max(width - w, 1))), int(rng.integers(max(height - h, 1)))
        if sample.label and rng.random() < 0.5:
            rows, columns = np.nonzero(sample.mask)
            i = int(rng.integers(rows.size))
            x, y = int(np.clip(columns[i] - w // 2, 0, width - w)), int(np.clip(rows[i] - h // 2, 0, height - h))
        return self._named(mask_of_box((x, y, x + max(w, 8), y + max(h, 8)), height, width), state)

    def _tool(self, state: _State) -> None:
        """A question about a region, the call of an instrument, its new evidence, the answer."""
        names = list(INSTRUMENT_ASKED)
        instrument = names[int(self.rng.integers(len(names)))]
        asked = None
        if state.regions and self.rng.random() < 0.6:
            region_id = list(state.regions)[int(self.rng.integers(len(state.regions)))]
            words = region_id
        else:
            region = self._box(state)
            region_id, words = region.id, f"{region.id}, {box_words(region.box_xyxy)}"
            asked = TurnRegion(id=region.id, box_xyxy=region.box_xyxy)
        titles = INSTRUMENT_ASKED[instrument]
        title = titles[int(self.rng.integers(len(titles)))]
        self._ask(state, "tool", {"instrument": title, "region": words}, asked)
        state.turns.append(Message(role="assistant", content=f"measure {instrument} on {region_id}"))
        item = self._brought(state, instrument, region_id)
        told = self.answers.unmeasurable(region_id, item) if isinstance(item, str) else self.answers.measured(item)
        self._answer(state, told)

    def _brought(self, state: _State, instrument: str, region_id: str) -> Evidence | str:
        """The turn of an instrument that was called, and its new evidence; the reason where it has none."""
        result = self.picture.measure(instrument, state.regions[region_id])
        if isinstance(result, str):
            reason = result.removeprefix(f"{instrument}: ")
            state.turns.append(Message(role="tool", content=f"{instrument} on {region_id}: {reason}"))
            state.failed.append((region_id, reason))
            return reason
        assert result.region is not None
        partner = result.partner
        if partner is not None:
            partner = partner.model_copy(update={"id": f"R{state.next_region}"})
            state.next_region += 1
        region = result.region.model_copy(update={"id": region_id})
        item = result.model_copy(update={"id": f"E{state.next_evidence}", "region": region, "partner": partner})
        state.next_evidence += 1
        state.evidence.append(item)
        state.turns.append(Message(role="tool", content=tool_text(item), evidence_ids=(item.id,)))
        return item


def tool_text(item: Evidence) -> str:
    """What an instrument returns into a dialogue, in one line."""
    assert item.region is not None
    if item.trace == REGION_TEST:
        return f"{item.id} {item.instrument} on {item.region.id} ({item.region.words}): {describe_bare(item)}"
    reference = value_words(item, item.reference)
    compared = f", compared with {reference} ({item.reference_text})" if reference else ""
    figure = f"{item.quantity}: {value_words(item, item.value)}{compared}"
    return f"{item.id} {item.instrument} on {item.region.id} ({item.region.words}): {figure}"
