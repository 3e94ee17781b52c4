"""Sentences of an answer by rule, by what was asked. Each factual one cites; all of them pass the checker.

Left out: choosing words at random (training data does that), and any claim beyond the verdict and its records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fakeexplain.reasoning.file_facts import FileFacts
from fakeexplain.reasoning.glossary import GLOSSARY
from fakeexplain.reasoning.numbers import percent_of, rate_words
from fakeexplain.reasoning.particulars import intent_of
from fakeexplain.reasoning.plain_records import MOST_FACTS, MOST_FINDINGS, MOST_OPEN, MOST_QUIET, TEXT
from fakeexplain.reasoning.plain_regions import RegionAnswers
from fakeexplain.reasoning.quoting import end_with, instrument_words, place_of, quote
from fakeexplain.reasoning.touching import touching
from fakeexplain.reasoning.wording import (
    describe_bare,
    expectation_words,
    kind_of_edit_sentences,
    order_sentence,
    quiet_sentence,
)
from fakeexplain.records import Evidence

NEXT_STEPS = (
    "Ask for the file as the camera saved it, before any messenger or service.",
    "Look for other copies of the picture and compare them.",
    "Keep the received file unchanged and note its checksum.",
    "Have a second examiner repeat the measurements.",
)


class PlainAnswers(RegionAnswers):
    """Words one request. Tool lines are sentences too."""

    def sentences(self) -> Iterator[str]:
        """The whole answer, without repetitions."""
        by_intent: dict[str, Callable[[], list[str]]] = {
            "detect": self.detect,
            "locate": self.locate,
            "show": self.locate,
            "explain": self.explain,
            "evidence": self.about_evidence,
            "compare": self.compare,
            "region": self.region,
            "tool": self.tool,
            "confidence": self.confidence,
            "causes": self.causes,
            "child": self.child,
            "court": self.court,
            "next_steps": lambda: list(NEXT_STEPS),
            "source_of_copy": self.source_of_copy,
            "operation": self.operation,
            "file": self.file,
            "not_tested": self.not_tested,
            "instruments": self.instruments,
            "quality": self.quality,
            "dimensions": self.dimensions,
            "glossary": self.glossary,
            "map": self.map,
            "picture": self.picture,
            "thanks": lambda: [TEXT["thanks"]],
            "help": lambda: [TEXT["help"]],
            "off_topic": lambda: [TEXT["off_topic"], *([TEXT["thing"]] if self.asked.thing else [])],
            "pressure": lambda: [TEXT["pressure"], *self.detect(), TEXT["change"]],
            "leading": lambda: [TEXT["leading"], *self.detect(), TEXT["limits_known"]],
            "injection": lambda: [TEXT["injection"], *self.detect()],
            "unclear": lambda: [TEXT["unclear"], *self.detect()],
        }
        said = [s for intent in (self.asked.intent, *self.asked.also) for s in by_intent[intent]()]
        if self.asked.thing and self.asked.intent in ("locate", "show", "explain", "detect", "causes", "unclear"):
            said.append(TEXT["thing"])
        yield from dict.fromkeys(said)

    def explain(self) -> list[str]:
        said = [end_with(TEXT[self.verdict.label], self.ground)]
        for item in self.findings[:MOST_FINDINGS]:
            said += self.about(item)
        if self.verdict.label == "inconclusive":
            said.append(end_with(quote(self.verdict.reason), self.ground))
        said += [end_with(quiet_sentence(e), [e]) for e in self.quiet[:MOST_QUIET]]
        return said + ([end_with(describe_bare(e), [e]) for e in self.abstained[:2]] if not self.findings else [])

    def about_evidence(self) -> list[str]:
        told = [self.known[i] for i in self.asked.evidence_ids if i in self.known]
        unknown = [i for i in self.asked.evidence_ids if i not in self.known]
        said = ["There is no record of that number in this examination."] if unknown else []
        said += [s for item in told for s in self.about(item)]
        return said or self.explain()

    def confidence(self) -> list[str]:
        percent = percent_of(self.verdict.probability)
        said = [end_with(f"The probability that a part of the picture was altered is put at {percent}", self.ground)]
        if self.verdict.label != "inconclusive":
            said.append(end_with(expectation_words(self.verdict), self.ground))
        return [*said, TEXT["promise"].format(rate=rate_words(self.verdict.false_alarms))]

    def causes(self) -> list[str]:
        said = [s for e in self.findings[:MOST_FINDINGS] for s in self._causes(e)]
        wanted = [
            self.known[i] for i in self.asked.evidence_ids if i in self.known and self.known[i].kind == "measurement"
        ]
        said = [s for e in wanted for s in self._causes(e)] + said
        return said or [
            end_with("There is no finding that would need another explanation", self.ground),
            *self.detect()[:1],
        ]

    @staticmethod
    def _causes(item: Evidence) -> list[str]:
        causes = "; or ".join(quote(c) for c in item.limits)
        return [end_with(f"This could also come from {causes}", [item])] if causes else []

    def child(self) -> list[str]:
        if not self.findings:
            return self.detect()
        item = self.findings[0]
        place = place_of(item.region) if item.region else "in the whole picture"
        said = f"Think of a puzzle: one piece, {place}, does not quite fit, so there is evidence of a change"
        if item.partner is not None:
            said = (
                f"It is like a stamp used twice: {place} and {place_of(item.partner)}, all "
                f"the little dots agree, so "
                "there is evidence that something was copied"
            )
        return [end_with(said, [item])]

    def court(self) -> list[str]:
        said = [end_with(TEXT[self.verdict.label], self.ground)]
        if self.verdict.label != "inconclusive":
            said.append(end_with(expectation_words(self.verdict), self.ground))
        for item in self.findings[:MOST_FINDINGS]:
            said += [self._located(item), *self.about(item)]
        return [*said, TEXT["promise"].format(rate=rate_words(self.verdict.false_alarms))]

    def source_of_copy(self) -> list[str]:
        pairs = [e for e in self.findings if e.region is not None and e.partner is not None]
        if pairs:
            a, b = pairs[0].region, pairs[0].partner
            assert a is not None
            assert b is not None
            return [
                end_with(f"{a.id}, {place_of(a)}, repeats {b.id}, {place_of(b)}", pairs[:1]),
                end_with(order_sentence(pairs[0]), pairs[:1]),
            ]
        searched = [e for e in self.request.examination.evidence if e.instrument == "copy_move"]
        said = [s for e in searched if e not in self.findings for s in self.about(e)]
        said = said or ["Whether anything repeats could not be tested here."]
        # "Which part was pasted?" may mean any alteration: that nothing repeats is not all there is to say then.
        return [*self.detect(), *said] if self.findings else said

    def operation(self) -> list[str]:
        """What kind of edit the traces found are known from, the network's guess at it, and that no trace tells it."""
        region = self.region_asked()
        touched = [item for item, _, _ in touching(region, self.findings)] if region is not None else self.findings
        if not touched:
            return self.touching(region) if region is not None else self.detect()
        said = []
        pairs = [e for e in self.findings if e.partner is not None]
        for item in touched[:MOST_FINDINGS]:
            copied = item.partner is None and item.region is not None and bool(touching(item.region, pairs))
            kinds = [] if copied else kind_of_edit_sentences(item)  # no guess beside what is known
            said += [self._located(item), *(end_with(s, [item]) for s in kinds)]
        return [*said, TEXT["kind_unknown"]]

    def particulars(self, intent: str) -> list[str]:
        """The single entries of the file that were asked for, of those that belong to an intent."""
        things = (t for t in self.asked.things if intent_of(t) == intent)
        facts = FileFacts(self.request.examination)
        return list(dict.fromkeys(s for thing in things for s in facts.of(thing)))

    def glossary(self) -> list[str]:
        """What a term means."""
        return list(GLOSSARY.get(self.asked.term, ()))

    def file(self) -> list[str]:
        if told := self.particulars("file"):
            return told
        unable = [e for e in self.abstained if e.instrument == "metadata"]
        said = [s for e in self.facts[:MOST_FACTS] or unable for s in self.about(e)]
        return said or ["The file tells nothing about its history."]

    def not_tested(self) -> list[str]:
        said = [TEXT["not_tested"].format(what=quote(c)) for c in self.open_points]
        return (said + [end_with(describe_bare(e), [e]) for e in self.abstained])[:MOST_OPEN]

    def instruments(self) -> list[str]:
        said = [s for e in self.findings for s in self.about(e)[:1]]
        for item in self.findings:
            said.append(end_with(f"That was measured by {instrument_words(item.instrument)}", [item]))
        said += [end_with(quiet_sentence(e), [e]) for e in self.quiet[:MOST_QUIET]]
        return said + [end_with(describe_bare(e), [e]) for e in self.abstained[:MOST_QUIET]]

    def quality(self) -> list[str]:
        claims = [c.text for c in self.request.examination.reasoning if c.section == "quality"]
        return claims or self.dimensions()

    def map(self) -> list[str]:
        """What the expert's map marks, finding or not."""
        return [] if self.request.sights is None else self.request.sights.of_map()

    def picture(self) -> list[str]:
        """What the picture looks like, as far as anything here can tell."""
        sights = self.request.sights
        return [*([] if sights is None else sights.of_picture()), TEXT["thing"]]

    def dimensions(self) -> list[str]:
        return self.particulars("dimensions") or FileFacts(self.request.examination).dimensions()
