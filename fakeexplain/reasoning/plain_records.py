"""Sentences by rule about the verdict, its places and single records; the ground of all answers by rule.

Left out: what is known of one region (`plain_regions`), and what a question asks for (`plain_answers`).
"""

from __future__ import annotations

from fakeexplain.reasoning.intents import Asked
from fakeexplain.reasoning.phrases import TEXT as PHRASES
from fakeexplain.reasoning.quoting import box_sentence, end_with, place_of, quote, size_of
from fakeexplain.reasoning.wording import (
    describe_bare,
    fact_sentence,
    finding_sentences,
    is_significant,
    order_sentence,
    quiet_sentence,
)
from fakeexplain.reasoning.writers import WriteRequest
from fakeexplain.records import Evidence, Region

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

_ONE_PLACE = PHRASES["one_place"].partition("}")[2].partition("{")[0]


class RecordAnswers:
    """What one request holds, and words for its records."""

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
    def one_place(self) -> list[str]:
        """That several findings point to one place, where the examination says so."""
        return [c.text for c in self.request.examination.reasoning if _ONE_PLACE in c.text]

    @property
    def open_points(self) -> list[str]:
        """What the verdict says was not tested, less the tests without a result, which are records of their own."""
        told = {e.open_point for e in self.abstained}
        return [c for c in self.verdict.not_tested if c not in told]

    def coordinates(self, *regions: Region) -> list[str]:
        """The boxes of regions, where coordinates were asked for."""
        if "coordinates" not in self.asked.things:
            return []
        return [end_with(box_sentence(r.id, r.box_xyxy), self.marking(r)[:1]) for r in regions]

    def marking(self, region: Region) -> list[Evidence]:
        """The findings that a region is one of the areas of."""
        return [e for e in self.findings if region.id in {r.id for r in e.areas}]

    def detect(self) -> list[str]:
        said = [end_with(TEXT[self.verdict.label], self.ground)]
        if self.verdict.label == "inconclusive":
            said.append(end_with(quote(self.verdict.reason), self.ground))
        said += [*(self._located(e) for e in self.findings[:MOST_FINDINGS]), *self.one_place]
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
            said += self.coordinates(*item.areas)
        return said + self.one_place

    def nowhere(self) -> str:
        if self.verdict.label == "manipulated":
            return self.detect()[0]
        why = {
            "no_evidence": "no evidence of a local alteration was found",
            "inconclusive": "the examination is inconclusive",
        }
        return end_with(f"There is no place to point to: {why[self.verdict.label]}", self.ground)

    def about(self, item: Evidence) -> list[str]:
        """What one record says."""
        if item.kind == "detection":
            if not is_significant(item, self.verdict):
                return [end_with(quiet_sentence(item), [item])]
            return [end_with(s, [item]) for s in finding_sentences(item)]
        if item.kind == "measurement":
            return self.measured(item)
        return [end_with(quote(fact_sentence(item)) if item.kind == "fact" else describe_bare(item), [item])]

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
