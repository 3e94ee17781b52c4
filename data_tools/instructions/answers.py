"""Sentences about one examined picture, each made of measured values and citations.

Every method returns full sentences. What is claimed follows the verdict and the findings of the library only.
Deliberately left out: the order of a dialogue (`dialogues`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from data_tools.instructions import phrases as p
from data_tools.instructions.grammar import choose, tidy
from data_tools.instructions.picture import Picture
from data_tools.instructions.quotes import (
    cite,
    instrument_words,
    place_of,
    quotable,
    quote,
    rate_of,
    size_of,
    value_words,
)
from fakeexplain.imaging.regions import decode_mask, percent_words
from fakeexplain.reasoning.numbers import percent_of, rate_words
from fakeexplain.reasoning.touching import touching
from fakeexplain.reasoning.wording import describe_bare, expectation_words, fact_sentence, stands_out
from fakeexplain.records import Evidence, Region

MOST_CAUSES = 3


def end_with(sentence: str, citation: str) -> str:
    """Puts a citation before the full stop."""
    return f"{sentence.rstrip('. ')} {citation}." if citation else sentence


class Answers:
    """Words one picture's examination.

    Args:
        picture: examined picture.
        rng: draws the wording.
    """

    def __init__(self, picture: Picture, rng: np.random.Generator) -> None:
        self.picture, self.rng = picture, rng
        self.verdict_record = picture.examination.verdict
        self.label = picture.verdict
        evidence = picture.examination.evidence
        self.findings = picture.findings
        self.detections = tuple(e for e in evidence if e.kind == "detection")
        self.quiet_ones = tuple(e for e in self.detections if e.id not in self.verdict_record.deciding_ids)
        self.facts = tuple(e for e in evidence if e.kind == "fact")
        self.abstained = tuple(e for e in evidence if e.kind == "abstention")

    def _say(self, templates: Sequence[str], **values: str) -> str:
        return choose(templates, values, self.rng)

    def _pick(self, items: Sequence[Evidence], most: int) -> list[Evidence]:
        chosen = sorted(self.rng.permutation(len(items))[:most].tolist())
        return [items[i] for i in chosen]

    @property
    def ground(self) -> tuple[Evidence, ...]:
        """What the verdict is cited with: one detection per instrument, or the abstentions where there is none."""
        known = {e.id: e for e in self.picture.examination.evidence}
        decided = tuple(known[i] for i in self.verdict_record.deciding_ids)
        first = tuple({e.instrument: e for e in reversed(self.detections)}.values())[::-1]
        return decided[:3] or first or self.abstained[:3] or self.facts[:1]

    def verdict(self) -> list[str]:
        said = [self._say(p.VERDICT[self.label], cites=cite(self.ground))]
        if self.label == "no_evidence" and self.rng.random() < 0.7:
            said.append(self._say(p.NO_PROOF))
        if self.label == "inconclusive":
            said.append(self._say(p.REASON, reason=quote(self.verdict_record.reason)))
        return said

    def finding(self, item: Evidence) -> str:
        values = {
            "place": place_of(item.region),
            "partner": place_of(item.partner),
            "value": value_words(item, item.value),
            "reference": value_words(item, item.reference),
            "quantity": quote(item.quantity),
            "compared": "",
            "cites": cite([item]),
        }
        key = "noise" if item.trace.startswith("noise_") else item.trace
        numeric = isinstance(item.value, (int, float)) and isinstance(item.reference, (int, float))
        share_of_windows = key == "duplicate_region" and item.quantity.startswith("share")  # no agreement of two areas
        if key in p.FINDING and numeric and not share_of_windows:
            return self._say(p.FINDING[key], **values)
        if values["reference"]:
            values["compared"] = f", compared with {values['reference']}"
        return self._say(p.FINDING_ANY, **values)

    def meaning(self, item: Evidence) -> list[str]:
        said = [self._say(p.MEANING[item.trace], cites=cite([item]))] if item.trace in p.MEANING else []
        return said + ([self._order(item)] if item.partner is not None else [])

    def _order(self, pair: Evidence) -> str:
        """Which of two areas is the copy, or that nobody can tell."""
        order = pair.copy_and_source
        if order is None:
            return self._say(p.SOURCE_UNKNOWN, cites=cite([pair]))
        return self._say(p.SOURCE_TOLD, copy=order[0].id, source=order[1].id, cites=cite([pair]))

    def chance(self, item: Evidence) -> list[str]:
        rate = rate_of(item)
        return [self._say(p.CHANCE, rate=rate, cites=cite([item]))] if rate else []

    def causes(self, item: Evidence) -> list[str]:
        """Some of the other causes that an instrument names for its figure."""
        clauses = [quote(c) for c in item.limits if quotable(c)]
        if not clauses:
            return []
        order = self.rng.permutation(len(clauses))[: int(self.rng.integers(1, MOST_CAUSES + 1))]
        text = "; or ".join(clauses[i] for i in sorted(order.tolist()))
        templates = p.CAUSES_MEASURED if item.kind == "measurement" else p.CAUSES
        return [self._say(templates, causes=text, cites=cite([item]))]

    def quiet(self, item: Evidence) -> str:
        name = instrument_words(item.instrument)
        return self._say(p.QUIET, instrument=name, instrument_inside=name, cites=cite([item]))

    def abstention(self, item: Evidence) -> str:
        values = {"instrument": instrument_words(item.instrument), "reason": quote(item.reason), "cites": cite([item])}
        return self._say(p.ABSTAINED, **values)

    def fits(self, item: Evidence) -> list[str]:
        """The operation of the forge's history, where the trace found lies on it and can come from it."""
        allowed = p.TRACE_OPERATIONS.get(item.trace, frozenset())
        mask = decode_mask(item.region.mask) if item.region else np.zeros((1, 1), bool)
        for name, edited in zip(self.picture.sample.operations, self.picture.sample.edit_masks, strict=True):
            if name in allowed and (mask & edited).sum() > 0.3 * mask.sum():
                operation = p.OPERATION_PHRASES[name][int(self.rng.integers(len(p.OPERATION_PHRASES[name])))]
                return [self._say(p.FITS, operation=operation, cites=cite([item]))]
        return []

    def explain(self) -> list[str]:
        said: list[str] = []
        for item in self.findings[:2]:
            said += [self.finding(item), *self.meaning(item)]
            said += self.chance(item) if self.rng.random() < 0.7 else []
            said += self.fits(item)
            said += self.causes(item) if self.rng.random() < 0.6 else []
        found = bool(said)
        said = said or self.verdict()[:1]  # why there is no finding begins with that there is none
        for item in self._pick(self.quiet_ones, 2 if found else 3):
            said.append(self.quiet(item))
        if not self.quiet_ones or self.rng.random() < 0.3:
            said += [self.abstention(e) for e in self._pick([e for e in self.abstained if quotable(e.reason)], 2)]
        return said

    def instruments(self) -> list[str]:
        """What each instrument found, or why it has no result."""
        said = [self.finding(e) for e in {e.instrument: e for e in reversed(self.findings)}.values()][::-1]
        told = {e.instrument for e in self.findings}
        said += [self.quiet(e) for e in self.quiet_ones if e.instrument not in told]
        return said + [self.abstention(e) for e in self.abstained if quotable(e.reason)] or self.verdict()

    def about(self, item: Evidence) -> list[str]:
        """What one numbered record says."""
        if item in self.findings:
            return [self.finding(item), *self.meaning(item), *self.chance(item)]
        if item.kind == "detection":
            return [self.quiet(item)] if item in self.quiet_ones else self.verdict()
        if item.kind == "abstention":
            return [self.abstention(item)]
        return [self.fact(item)]

    def tellable(self) -> list[Evidence]:
        """Records that can be put in words."""
        told = [*self.findings, *self.quiet_ones]
        told += [e for e in self.abstained if quotable(e.reason)]
        return told + [e for e in self.facts if quotable(fact_sentence(e))]

    @staticmethod
    def fact(item: Evidence) -> str:
        return end_with(tidy(quote(fact_sentence(item))), cite([item]))

    def locate(self) -> list[str]:
        if not self.findings:
            return self.nowhere()
        said = [self._located(p.LOCATED, self.findings[0])]
        if self.findings[0].partner is not None:
            said.append(self.pair(self.findings[0]))
        said += [self.finding(e) for e in self.findings[1:3]]
        return said

    def nowhere(self) -> list[str]:
        """That there is no place to name, by the verdict."""
        if self.label == "manipulated":
            return self.verdict()
        return [self._say(p.NOT_LOCATED[self.label], cites=cite(self.ground))]

    def _located(self, templates: Sequence[str], item: Evidence) -> str:
        assert item.region is not None
        size = f" ({size_of(item.region)})" if self.rng.random() < 0.7 else ""
        values = {"region": item.region.id, "place": place_of(item.region), "size": size, "cites": cite([item])}
        return self._say(templates, **values)

    def pair(self, item: Evidence) -> str:
        assert item.region is not None
        assert item.partner is not None
        values = {"region": item.region.id, "place": place_of(item.region), "other_region": item.partner.id}
        return self._say(p.LOCATED_PAIR, **values, partner=place_of(item.partner), cites=cite([item]))

    def show(self) -> tuple[list[str], Region | None]:
        """Sentences with <SEG>, and the region it stands for."""
        if not self.findings:
            return self.nowhere(), None
        return [self._located(p.SHOWN, self.findings[0])], self.findings[0].region

    def source_of_copy(self) -> tuple[list[str], Region | None]:
        pair = next((e for e in self.findings if e.trace == "duplicate_region" and e.partner is not None), None)
        if pair is None:
            searched = [e for e in self.quiet_ones if e.instrument == "copy_move"]
            if not searched:
                cites = [e for e in self.abstained if e.instrument == "copy_move"]
                return [self._say(p.NO_COPY_TEST, cites=f" {cite(cites)}" if cites else "")], None
            return [self._say(p.NO_COPY, cites=cite(searched[:1]))], None
        assert pair.region is not None
        assert pair.partner is not None
        copy, source = pair.copy_and_source or (pair.region, pair.partner)
        donor = self.picture.sample.donor_mask
        if pair.copy_and_source is None and donor is not None:
            # the forge knows which is which; the sentence says that the trace does not
            covered = [int((decode_mask(r.mask) & donor).sum()) for r in (source, copy)]
            source, copy = (source, copy) if covered[0] >= covered[1] else (copy, source)
        values = {"region": source.id, "other_region": copy.id, "cites": cite([pair])}
        first = self._say(p.SOURCE_SHOWN, **values, place=place_of(source), partner=place_of(copy))
        return [first, self._order(pair)], source

    def region(self, region: Region) -> list[str]:
        """Whether a finding touches a region somebody asks about."""
        said = []
        for item, found, share in touching(region, self.findings):
            values = {"overlap": percent_words(share), "region": region.id}
            said.append(self._say(p.REGION_TOUCHED, **values, finding=found.id, cites=cite([item])))
        if said:
            return said[:2]
        if self.label == "manipulated":
            if not self.findings:
                return self.verdict()
            item = self.findings[0]
            values = {"region": region.id, "place": place_of(item.region), "cites": cite([item])}
            return [self._say(p.REGION_FREE[self.label], **values)]
        return [self._say(p.REGION_FREE[self.label], region=region.id, cites=cite(self.ground))]

    def confidence(self) -> list[str]:
        percent = percent_of(self.verdict_record.probability)
        said = [self._say(p.PROBABILITY, percent=percent, cites=cite(self.ground))]
        said += self.chance(self.findings[0]) if self.findings and self.rng.random() < 0.6 else []
        if self.rng.random() < 0.7:
            said.append(self._say(p.PROMISE, rate=rate_words(self.verdict_record.false_alarms)))
        return said

    def other_causes(self) -> list[str]:
        said = [s for item in self.findings[:2] for s in self.causes(item)]
        return said or [self._say(p.NO_CAUSES, cites=cite(self.ground))]

    def child(self) -> list[str]:
        place = place_of(self.findings[0].region) if self.findings else ""
        if self.label == "manipulated" and not self.findings:
            return self.verdict()
        items = self.findings[:1] or self.ground
        if self.findings and self.findings[0].partner is not None:
            partner = place_of(self.findings[0].partner)
            return [self._say(p.CHILD_PAIR, place=place, partner=partner, cites=cite(items))]
        return [self._say(p.CHILD[self.label], place=place, cites=cite(items))]

    def court(self) -> list[str]:
        said = self.verdict()[:1]
        if self.label != "inconclusive":
            said.append(end_with(expectation_words(self.verdict_record), cite(self.ground)))
        said += [self.finding(e) for e in self.findings[:1]]
        said += [c for e in self.findings[:1] for c in self.causes(e)]
        return [*said, self._say(p.PROMISE, rate=rate_words(self.verdict_record.false_alarms))]

    def pressed(self, leading: bool) -> list[str]:
        """To somebody who disagrees, or whose question presumes the answer: the same verdict again."""
        return [self._say(p.NOT_CONFIRMED if leading else p.PRESSURE), *self.verdict()]

    def off_topic(self) -> list[str]:
        return [self._say(p.OFF_TOPIC)]

    def next_steps(self) -> list[str]:
        order = self.rng.permutation(len(p.NEXT_STEPS))[: int(self.rng.integers(2, 4))]
        return [self._say((p.NEXT_STEPS[i],)) for i in sorted(order.tolist())]

    def file(self) -> list[str]:
        told = [e for e in self.facts if quotable(fact_sentence(e))]
        if told:
            return [self.fact(e) for e in self._pick(told, 3)]
        unable = [e for e in self.abstained if quotable(e.reason)]
        return [self.abstention(e) for e in self._pick(unable, 1)] or self.off_topic()

    def _told(self, *traces: str) -> list[str]:
        """Facts about the file by their traces, in that order; where there are none, what else the file says."""
        told = [e for e in self.facts if quotable(fact_sentence(e))]
        found = [e for t in traces for e in told if e.trace == t]
        if found:
            return [self.fact(e) for e in found[:3]]
        missing = [e for e in told if e.trace == "no_metadata"] or told
        return [self._say(p.NOT_STATED), *(self.fact(e) for e in missing[:1])]

    def camera(self) -> list[str]:
        return self._told("camera_facts")

    def date(self) -> list[str]:
        """Evidence tells of dates only where they contradict each other."""
        return self._told("date_conflict")

    def software(self) -> list[str]:
        return self._told("editor_software", "edit_history", "generator_text")

    def format(self) -> list[str]:
        return self._told("quantisation_tables", "dimension_conflict", "segment_order", "trailing_data")

    def not_tested(self) -> list[str]:
        """All that no examination here tests, then every test without a result."""
        records = {e.open_point for e in self.abstained}
        clauses = [quote(c) for c in self.verdict_record.not_tested if c not in records and quotable(c)]
        said = [self._say(p.NOT_TESTED, what=c) for c in clauses]
        return said + [self.abstention(e) for e in self.abstained if quotable(e.reason)]

    def compare(self, item: Evidence) -> list[str]:
        """The two regions of a pair."""
        assert item.region is not None
        assert item.partner is not None
        a, b, cites = item.region, item.partner, cite([item])
        values: Mapping[str, str] = {
            **{"first": a.id, "first_place": place_of(a), "first_size": size_of(a)},
            **{"second": b.id, "second_place": place_of(b), "second_size": size_of(b), "cites": cites},
        }
        said = [choose(p.COMPARED, values, self.rng)]
        if a.area_fraction != b.area_fraction:
            larger, smaller = (a, b) if a.area_fraction > b.area_fraction else (b, a)
            said.append(self._say(p.LARGER, larger=larger.id, smaller=smaller.id, cites=cites))
        return said

    def measured(self, item: Evidence) -> list[str]:
        """A measurement of a chosen region."""
        assert item.region is not None
        reference, explained = value_words(item, item.reference), quote(item.reference_text)
        compared = f", compared with {reference}" if reference else ""
        if reference and quotable(explained) and not re.search(r"\bthis\b", explained):
            compared += f" ({explained})"
        values = {"region": item.region.id, "quantity": quote(item.quantity), "value": value_words(item, item.value)}
        said = [self._say(p.MEASURED, **values, compared=compared, cites=cite([item]))]
        numeric = isinstance(item.value, (int, float)) and isinstance(item.reference, (int, float))
        if numeric and item.value != item.reference and self.rng.random() < 0.4:
            word = "higher" if item.value > item.reference else "lower"  # type: ignore[operator]
            said.append(self._say(p.DIRECTION, direction=word, cites=cite([item])))
        said.append(self._say(p.CHOSEN))
        return said + (self.causes(item) if self.rng.random() < 0.4 else [])

    def tested(self, item: Evidence) -> list[str]:
        """The expert's test of a region by itself; where it stands out, also what that is worth."""
        said = [end_with(describe_bare(item), cite([item]))]
        return [*said, self._say(p.CHOSEN), *self.causes(item)] if stands_out(item) else said

    def extent(self, region: Region) -> list[str]:
        """Where a region lies and how large it is."""
        return [self._say(p.EXTENT, region=region.id, place=place_of(region), size=size_of(region))]

    def unmeasurable(self, region_id: str, reason: str) -> list[str]:
        return [self._say(p.UNMEASURABLE, region=region_id, reason=quote(reason))]
