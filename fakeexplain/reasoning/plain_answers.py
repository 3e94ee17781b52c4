"""Sentences of an answer by rule, by what was asked. Each factual one cites; all of them pass the checker.

Left out: choosing words at random (training data does that), and any claim beyond the verdict and its records.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice

from fakeexplain.imaging.regions import percent_words
from fakeexplain.reasoning.intents import Asked
from fakeexplain.reasoning.quoting import cite, instrument_words, place_of, quote, size_of
from fakeexplain.reasoning.touching import touching
from fakeexplain.reasoning.wording import (
    describe_bare,
    expectation_words,
    fact_sentence,
    finding_sentences,
    is_significant,
    kind_of_edit_sentences,
    order_sentence,
    percent_of,
    quiet_sentence,
    rate_words,
    stands_out,
)
from fakeexplain.reasoning.writers import WriteRequest
from fakeexplain.records import REGION_TEST, Evidence, Region, ToolCall

MOST_FINDINGS, MOST_QUIET, MOST_FACTS, MOST_OPEN = 3, 4, 6, 8
TEXT = {
    "manipulated": "The examination found evidence that a part of this picture was altered",
    "no_evidence": "The examination found no evidence of a local alteration, which does not "
    "show that the picture is unaltered",
    "inconclusive": "The examination is inconclusive: it gives no answer in either direction",
    "pressure": "The measurements stay as they are; here is again what the examination found.",
    "change": "An earlier copy of the file, measured anew, could change this answer.",
    "leading": "I cannot confirm that as asked; I can only say what was measured.",
    "injection": "I follow the measurements alone, and no instruction in a question or in a file changes them.",
    "off_topic": "That is outside of what an examination of the picture can tell, so I leave it open.",
    "unclear": "I am not sure what you ask; here is what the examination found.",
    "thanks": "I am here for further questions about the examination.",
    "help": "I answer questions about the examination: where, why, how probable, what else, and what was not tested.",
    "thing": "I do not recognise things in a picture; give a place or a box, and I can say what was measured there.",
    "promise": "The threshold was set so that at most {rate} unaltered photographs are called altered by mistake.",
    "chosen": "The region was chosen, not found, so this figure does not count for the verdict.",
    "uncounted": "This figure does not count for the verdict.",
    "unmeasurable": "{region} could not be measured: {reason}.",
    "kind_unknown": "What was done, by whom and with which program, cannot be told from the measurements.",
    "no_proof": "An alteration that leaves none of the tested traces could have been missed.",
    "not_tested": "Not tested: {what}.",
    "limits_known": "Whoever made or changed a picture, and why, cannot be told from the measurements.",
}
NEXT_STEPS = (
    "Ask for the file as the camera saved it, before any messenger or service.",
    "Look for other copies of the picture and compare them.",
    "Keep the received file unchanged and note its checksum.",
    "Have a second examiner repeat the measurements.",
)


class PlainAnswers:
    """Words one request. Tool lines are sentences too."""

    def __init__(self, request: WriteRequest, asked: Asked) -> None:
        self.request, self.asked = request, asked
        self.verdict = request.examination.verdict
        self.known = {e.id: e for e in request.evidence}
        base = request.examination.evidence
        self.detections = [e for e in base if e.kind == "detection"]
        self.findings = [self.known[i] for i in self.verdict.deciding_ids if self.verdict.label == "manipulated"]
        self.quiet = [e for e in self.detections if not is_significant(e, self.verdict)]
        self.facts = [e for e in base if e.kind == "fact"]
        self.abstained = [e for e in base if e.kind == "abstention"]

    @property
    def ground(self) -> list[Evidence]:
        """What the verdict is cited with."""
        decided = [self.known[i] for i in self.verdict.deciding_ids if i in self.known]
        first = list({e.instrument: e for e in reversed(self.detections)}.values())[::-1]
        return decided[:3] or first[:4] or self.abstained[:3] or self.facts[:1]

    @property
    def open_points(self) -> list[str]:
        """What the verdict says was not tested, less the tests without a result, which are records of their own."""
        told = {e.open_point for e in self.abstained}
        return [c for c in self.verdict.not_tested if c not in told]

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

    def detect(self) -> list[str]:
        said = [end_with(TEXT[self.verdict.label], self.ground)]
        if self.verdict.label == "inconclusive":
            said.append(end_with(quote(self.verdict.reason), self.ground))
        said += [self._located(e) for e in self.findings[:MOST_FINDINGS]]
        return said + ([TEXT["no_proof"]] if self.verdict.label == "no_evidence" else [])

    def _located(self, item: Evidence) -> str:
        if item.region is None:
            return self.about(item)[0]
        lies = f"{item.region.id} lies {place_of(item.region)} and covers {size_of(item.region)} of the image"
        lies = lies.replace(" of the image of the image", " of the image")
        return end_with(f"The finding {lies}" if item.partner is None else f"The area {lies}", [item])

    def locate(self) -> list[str]:
        if not self.findings:
            return [self.nowhere(), *self.detect()[1:]]
        said = []
        for item in self.findings[:MOST_FINDINGS]:
            said.append(self._located(item))
            if item.region is not None and item.partner is not None:
                a, b = item.region, item.partner
                both = f"The two areas are {a.id}, {place_of(a)}, and {b.id}, {place_of(b)}"
                said.append(end_with(both if item.copy_and_source is None else order_sentence(item), [item]))
        return said

    def nowhere(self) -> str:
        if self.verdict.label == "manipulated":
            return self.detect()[0]
        why = {
            "no_evidence": "no evidence of a local alteration was found",
            "inconclusive": "the examination is inconclusive",
        }
        return end_with(f"There is no place to point to: {why[self.verdict.label]}", self.ground)

    def explain(self) -> list[str]:
        said = [end_with(TEXT[self.verdict.label], self.ground)]
        for item in self.findings[:MOST_FINDINGS]:
            said += self.about(item)
        if self.verdict.label == "inconclusive":
            said.append(end_with(quote(self.verdict.reason), self.ground))
        said += [end_with(quiet_sentence(e), [e]) for e in self.quiet[:MOST_QUIET]]
        return said + ([end_with(describe_bare(e), [e]) for e in self.abstained[:2]] if not self.findings else [])

    def about(self, item: Evidence) -> list[str]:
        """What one record says."""
        if item.kind == "detection":
            if not is_significant(item, self.verdict):
                return [end_with(quiet_sentence(item), [item])]
            return [end_with(s, [item]) for s in finding_sentences(item)]
        if item.kind == "measurement":
            return self.measured(item)
        return [end_with(fact_sentence(item) if item.kind == "fact" else describe_bare(item), [item])]

    def about_evidence(self) -> list[str]:
        told = [self.known[i] for i in self.asked.evidence_ids if i in self.known]
        unknown = [i for i in self.asked.evidence_ids if i not in self.known]
        said = ["There is no record of that number in this examination."] if unknown else []
        said += [s for item in told for s in self.about(item)]
        return said or self.explain()

    def region_asked(self) -> Region | None:
        """The region that the question is about, None where it is about none that is known."""
        ids = (self.request.region_id, *self.asked.region_ids)
        return next((self.request.regions[i] for i in ids if i is not None and i in self.request.regions), None)

    def _unknown_region(self) -> list[str]:
        return ["There is no region of that number; mark one with a box.", *self.locate()]

    def touching(self, region: Region) -> list[str]:
        """Whether a finding touches a region."""
        said: list[str] = []
        for item, found, share in touching(region, self.findings):
            if found.id == region.id:
                said += [s for s in self.about(item) if s not in said]
            else:
                part = percent_words(share)
                said.append(end_with(f"{part} of {region.id} lies inside the finding {found.id}", [item]))
        if said:
            return said
        if self.findings:
            lies = [e for e in self.findings if e.region is not None][:1]
            where = f"; the finding lies {place_of(lies[0].region)}" if lies else ""
            return [end_with(f"No finding touches {region.id}{where}", lies or self.findings[:1])]
        why = {
            "no_evidence": "for no evidence was found anywhere in the picture",
            "inconclusive": "for the examination is inconclusive",
        }.get(self.verdict.label, "for no place was found")
        return [end_with(f"No finding touches {region.id}, {why}", self.ground)]

    def region(self) -> list[str]:
        region = self.region_asked()
        if region is None:
            return self._unknown_region() if self.asked.region_ids else self.locate()
        if self.asked.size:
            return [self.extent(region)]
        marked = self.request.examination.marked_by.get(region.id)
        own = [s for e in self.quiet if marked is not None and e.id == marked.id for s in self.about(e)]
        return [*self.touching(region), *own, *self.tested(region), *self._measurement("region_contrast", region)]

    def tested(self, region: Region) -> list[str]:
        """What the expert's test of this region alone gave, where it was made."""
        made = (e for e in self.request.evidence if e.trace == REGION_TEST and e.region and e.region.id == region.id)
        return [s for e in islice(made, 1) for s in (self.measured(e) if stands_out(e) else self.measured(e)[:1])]

    def tool(self) -> list[str]:
        region = self.region_asked()
        if region is None and self.asked.region_ids:
            return self._unknown_region()
        if region is None:
            named = [e for e in self.request.examination.evidence if e.instrument == self.asked.instrument]
            said = [s for e in named for s in self.about(e)]
            return said or ["Mark a region with a box, and I can have it measured."]
        return self._measurement(self.asked.instrument or "region_contrast", region)

    def _measurement(self, instrument: str, region: Region) -> list[str]:
        """What was measured there; the tool line where nothing was yet; the reason where it failed."""
        for item in self.request.evidence:
            if (
                item.kind == "measurement"
                and item.instrument == instrument
                and item.region
                and item.region.id == region.id
            ):
                return self.measured(item)
        for call in self.request.calls:
            if call.instrument == instrument and call.region_id == region.id and call.error:
                return self.failed(call)
        return [f"measure {instrument} on {region.id}"]

    @staticmethod
    def failed(call: ToolCall) -> list[str]:
        """That a measurement could not be made, and why."""
        return [TEXT["unmeasurable"].format(region=call.region_id, reason=quote(call.error))]

    def measured(self, item: Evidence) -> list[str]:
        text = end_with(describe_bare(item).split("; this region was chosen")[0], [item])
        if item.region is not None:
            text = f"{item.region.id}: {text}" if item.region.id not in text else text
        found = item.region is not None and item.region.id in self.request.examination.marked_by
        said = [text, TEXT["uncounted" if found else "chosen"]]
        if item.limits:
            causes = "; or ".join(quote(c) for c in item.limits)
            said.append(end_with(f"A difference could also come from {causes}", [item]))
        return said

    def compare(self) -> list[str]:
        regions = [self.request.regions[i] for i in self.asked.region_ids if i in self.request.regions][:2]
        if len(regions) < 2:
            return self._unknown_region()
        said = [self.extent(r) for r in regions]
        if regions[0].area_fraction != regions[1].area_fraction:
            large, small = sorted(regions, key=lambda r: -r.area_fraction)
            said.append(f"{large.id} is larger than {small.id}.")
        shared = [e for e in self.findings if {r.id for r in e.areas} == {r.id for r in regions}]
        said += [s for e in shared[:1] for s in self.about(e)]
        return said if shared else said + [s for r in regions for s in self._measurement("region_contrast", r)]

    def extent(self, region: Region) -> str:
        """Where a region lies and how large it is; cited where it is a finding's, and else there is no record of it."""
        found = [e for e in self.findings if region.id in {r.id for r in e.areas}]
        return end_with(f"{region.id} lies {place_of(region)} and covers {size_of(region)}", found[:1])

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

    def file(self) -> list[str]:
        said = [end_with(fact_sentence(e), [e]) for e in self.facts[:MOST_FACTS]]
        unable = [e for e in self.abstained if e.instrument == "metadata"]
        return (
            said or [end_with(describe_bare(e), [e]) for e in unable] or ["The file tells nothing about its history."]
        )

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
        facts = self.request.examination.source
        name = quote(re.sub(r"[^A-Za-z0-9 ]", "", facts.format))
        return [f"The file is {name} of {facts.width} x {facts.height} pixels and {facts.size_bytes} bytes."]


def end_with(sentence: str, items: list[Evidence]) -> str:
    """Puts citations before the full stop."""
    marks = cite(items)
    return f"{sentence.rstrip('. ')} {marks}." if marks else f"{sentence.rstrip('. ')}."
