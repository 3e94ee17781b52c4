"""Sentences by rule about one region: whether a finding touches it, what was measured there, how it compares.

Left out: what a question asks for (`plain_answers`).
"""

from __future__ import annotations

from itertools import islice

from fakeexplain.imaging.regions import percent_words
from fakeexplain.reasoning.plain_records import TEXT, RecordAnswers
from fakeexplain.reasoning.quoting import end_with, place_of, quote, size_of
from fakeexplain.reasoning.touching import touching
from fakeexplain.reasoning.wording import stands_out
from fakeexplain.records import REGION_TEST, Region, ToolCall


class RegionAnswers(RecordAnswers):
    """Words for the region that a question is about."""

    def region_asked(self) -> Region | None:
        """The region that the question is about, None where it is about none that is known."""
        ids = (self.request.region_id, *self.asked.region_ids)
        return next((self.request.regions[i] for i in ids if i is not None and i in self.request.regions), None)

    def _unknown_region(self) -> list[str]:
        return ["There is no region of that number; mark one with a box.", *self.locate()]

    def touching(self, region: Region, *, placed: bool = False) -> list[str]:
        """Whether a finding touches a region; placed: with where that lies."""
        name = f"{region.id}, {place_of(region)}" if placed else region.id
        comma = "," if placed else ""
        said: list[str] = []
        for item, found, share in touching(region, self.findings):
            if found.id == region.id:
                said += [s for s in self.about(item) if s not in said]
            else:
                part = percent_words(share)
                said.append(end_with(f"{part} of {name}{comma} lies inside the finding {found.id}", [item]))
        if said:
            return said
        if self.findings:
            lies = [e for e in self.findings if e.region is not None][:1]
            where = f"; the finding lies {place_of(lies[0].region)}" if lies else ""
            return [end_with(f"No finding touches {name}{where}", lies or self.findings[:1])]
        why = {
            "no_evidence": "for no evidence was found anywhere in the picture",
            "inconclusive": "for the examination is inconclusive",
        }.get(self.verdict.label, "for no place was found")
        return [end_with(f"No finding touches {name}, {why}", self.ground)]

    def region(self) -> list[str]:
        region = self.region_asked()
        if region is None:
            return self._unknown_region() if self.asked.region_ids else self.locate()
        if self.asked.size:
            return [self.extent(region), *self.coordinates(region)]
        marked = self.request.examination.marked_by.get(region.id)
        own = [s for e in self.quiet if marked is not None and e.id == marked.id for s in self.about(e)]
        told = [*self.coordinates(region), *self.touching(region), *own, *self.tested(region)]
        return [*told, *self._measurement("region_contrast", region)]

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
        return end_with(f"{region.id} lies {place_of(region)} and covers {size_of(region)}", self.marking(region)[:1])
