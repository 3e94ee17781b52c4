"""The public face: one picture in, one examination out; a picture is examined once and then kept.

>>> examiner = Examiner()                                    # doctest: +SKIP
>>> examination = examiner.examine("photo.jpg")              # doctest: +SKIP
>>> examiner.measure("photo.jpg", "noise", box_xyxy=(10, 20, 200, 180)).value   # doctest: +SKIP
2.91
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import platform
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata as package_metadata
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import fakeexplain
from fakeexplain.conversation import Conversation
from fakeexplain.copy_order import with_order
from fakeexplain.errors import MeasurementError, WriterError
from fakeexplain.imaging.regions import decode_mask, encode_mask, mask_of_box, region_of_mask
from fakeexplain.imaging.source import DEFAULT_MAX_MEGAPIXELS, SourceImage
from fakeexplain.imaging.worker import Limits, load_guarded
from fakeexplain.instruments.suite import all_instruments, number_evidence, run_suite, select_instruments
from fakeexplain.provenance.c2pa import check_trust_anchors
from fakeexplain.provenance.reading import prepare_provenance
from fakeexplain.quality import MIN_SIDE, assess, review
from fakeexplain.reasoning.choosing import choose_writer
from fakeexplain.reasoning.wording import explain
from fakeexplain.reasoning.writers import LookingWriter, Writer
from fakeexplain.records import Evidence, Examination, QualityReport
from fakeexplain.verdict import DEFAULT_FALSE_ALARMS, EXPERT, Panel, decide, evidence_mask

if TYPE_CHECKING:
    from fakeexplain.localization import Expert, Localization

_log = logging.getLogger("fakeexplain")
EMBEDDED, PLAIN = "embedded", "plain"
ACCOUNT_QUESTION = "Was this picture altered, and where?"
_LIBRARIES = (
    "numpy",
    "scipy",
    "pillow",
    "opencv-python-headless",
    "jpeglib",
    "pi-heif",
    "ExifRead",
    "c2pa-python",
    "torch",
    "open_clip_torch",
)


@dataclass(frozen=True)
class Settings:
    """What changes an examination's outcome; recorded in it.

    Attributes:
        false_alarms: promised rate of `manipulated` among authentic photographs, in [1e-6, 0.5].
        instruments: names, None for all.
        max_megapixels: larger pictures are refused before decoding.
        expert: folder with weights of the trained network, "embedded" for those that come with the library (if this
            copy has any), None to do without it; its half of the false alarms then stays unused.
        trust_anchors: certificates (PEM) whose Content Credentials are called trusted; "" trusts nobody.
        wording: who answers questions, and who gives the examination its `account`: "plain" for rules and no account,
            "assistant" for the one that comes with the library, "" for that one if this copy has any, or a folder of
            weights. It never touches the verdict.
    """

    false_alarms: float = DEFAULT_FALSE_ALARMS
    instruments: tuple[str, ...] | None = None
    max_megapixels: float = DEFAULT_MAX_MEGAPIXELS
    expert: str | None = EMBEDDED
    trust_anchors: str = ""
    wording: str = PLAIN

    @property
    def trust_anchors_sha256(self) -> str | None:
        """What an examination records of them."""
        return hashlib.sha256(self.trust_anchors.encode()).hexdigest() if self.trust_anchors else None


def measuring_names() -> tuple[str, ...]:
    """Who can be asked to measure a region: the instruments, and the expert."""
    return (*(i.name for i in all_instruments()), EXPERT)


class Examiner:
    """Examines pictures with fixed settings.

    Args:
        settings: see `Settings`.
        threads: instruments at work at once on one picture; does not change results.
        keep: how many examinations to keep, by sha256, so that asking again is free.

    Attributes:
        writer: proposes the sentences of answers, see `Settings.wording`.

    Raises:
        SettingsError: unknown instruments, a false-alarm rate out of range, or weights that cannot be loaded.
    """

    def __init__(self, settings: Settings | None = None, *, threads: int = 2, keep: int = 4) -> None:
        self.settings = settings or Settings()
        check_trust_anchors(self.settings.trust_anchors)
        self.instruments = select_instruments(self.settings.instruments, self.settings.trust_anchors)
        self.expert = _load_expert(self.settings.expert)
        localizing = tuple(i.name for i in self.instruments if i.localizes)
        self.panel = Panel(self.settings.false_alarms, localizing, self.expert.name if self.expert else None)
        self._threads = threads
        self._keep = keep
        self.writer = choose_writer(self.settings.wording, expert=self.expert)
        self._kept: OrderedDict[tuple[str, str], Examination] = OrderedDict()

    def load(self, picture: str | os.PathLike[str] | bytes | SourceImage, *, name: str | None = None) -> SourceImage:
        """A SourceImage from a path, bytes or itself, decoded in a guarded process. Raises SourceError."""
        if isinstance(picture, SourceImage):
            return picture
        limits = Limits(max_megapixels=self.settings.max_megapixels)
        prepare = functools.partial(prepare_provenance, trust_anchors=self.settings.trust_anchors)
        return load_guarded(picture, limits, name=name, prepare=prepare)

    def examine(
        self,
        picture: str | os.PathLike[str] | bytes | SourceImage,
        *,
        name: str | None = None,
        on_done: Callable[[str], None] | None = None,
    ) -> Examination:
        """Everything about one picture.

        Args:
            picture: path, bytes or a SourceImage.
            name: what to call it in the answer.
            on_done: called with the name of each instrument that has finished.

        Raises:
            SourceError: the picture cannot be read.
        """
        started = time.perf_counter()
        source = self.load(picture, name=name)
        key = (source.sha256, source.name)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        quality = assess(source)
        opened = time.perf_counter()
        found, seconds = run_suite(source, self.instruments, threads=self._threads, on_done=on_done)
        if self.expert is not None:
            found.append(self._ask_expert(source, quality, seconds))
            if on_done is not None:
                on_done(self.expert.name)
        found, quality = review(found, quality)
        counted = self.expert.calibration if self.expert is not None else None
        evidence = number_evidence(with_order(found, counted.copy_order if counted is not None else None))
        verdict, mask = decide(evidence, quality, self.panel, source.height, source.width)
        reasoning = explain(quality, evidence, verdict)
        seconds = {"open": round(opened - started, 4), **seconds, "total": round(time.perf_counter() - started, 4)}
        examination = Examination(
            source=source.facts(),
            quality=quality,
            evidence=evidence,
            verdict=verdict,
            reasoning=reasoning,
            mask=encode_mask(mask),
            settings={
                "false_alarms": self.settings.false_alarms,
                "instruments": [i.name for i in self.instruments],
                "max_megapixels": self.settings.max_megapixels,
                "expert": self.settings.expert if self.expert else None,
                "trust_anchors_sha256": self.settings.trust_anchors_sha256,
                "wording": self.writer.name,
            },
            versions=versions(self.instruments, self.expert),
            seconds=seconds,
            examined_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )
        if self.writer.name != PLAIN:
            examination = self._with_account(examination, source)
        kept_open = functools.cache(lambda: self.conversation(picture, examination=examination))
        examination = examination.answered_by(kept_open)
        self._kept[key] = examination
        while len(self._kept) > self._keep:
            self._kept.popitem(last=False)
        return examination

    def conversation(
        self,
        picture: str | os.PathLike[str] | bytes | SourceImage,
        *,
        writer: Writer | None = None,
        examination: Examination | None = None,
    ) -> Conversation:
        """A dialogue about one picture.

        Args:
            picture: path, bytes or a SourceImage.
            writer: proposes sentences; that of the settings if None.
            examination: of this picture, where it was made already.

        Raises:
            SourceError: the picture cannot be read, or the examination is of another one.
        """
        return Conversation(self, picture, writer=writer or self.writer, examination=examination)

    def _with_account(self, examination: Examination, source: SourceImage) -> Examination:
        """The examination with the assistant's account of it; without, where the assistant cannot give one."""
        start = time.perf_counter()
        try:
            account = self.conversation(source, examination=examination).ask(ACCOUNT_QUESTION)
        except WriterError as error:  # the deterministic sentences are there in any case
            _log.warning("%s: no account of it in the assistant's words; %s", source.name, error)
            return examination
        spent = time.perf_counter() - start
        seconds = {**examination.seconds, "account": round(spent, 4)}
        seconds["total"] = round(seconds["total"] + spent, 4)
        return examination.model_copy(update={"account": account, "seconds": seconds})

    def _ask_expert(self, source: SourceImage, quality: QualityReport, seconds: dict[str, float]) -> Evidence:
        """The expert's evidence; a failure on one picture is an abstention, as it is for an instrument."""
        assert self.expert is not None
        start = time.perf_counter()
        if min(source.height, source.width) < MIN_SIDE:
            return self.expert.abstain(f"the picture is smaller than {MIN_SIDE} pixels on a side")
        try:
            return self.expert.evidence(self._localized(source), quality)
        except (MemoryError, ArithmeticError, ValueError, RuntimeError) as error:
            return self.expert.abstain(f"it failed on this picture ({type(error).__name__}: {error})")
        finally:
            seconds[self.expert.name] = round(time.perf_counter() - start, 4)

    def _localized(self, source: SourceImage) -> Localization:
        """The expert's answer, by way of a writer that wants to see it."""
        assert self.expert is not None
        if isinstance(self.writer, LookingWriter):
            with contextlib.suppress(WriterError):  # damaged, and says so when it is asked
                seen: Localization = self.writer.localize(source, threads=self._threads)
                return seen
        return self.expert.localize(source, threads=self._threads)

    def measure(
        self,
        picture: str | os.PathLike[str] | bytes | SourceImage,
        instrument: str = "region_contrast",
        *,
        region_mask: np.ndarray | None = None,
        box_xyxy: tuple[float, float, float, float] | None = None,
    ) -> Evidence:
        """Measures a region that somebody chose; never part of the verdict.

        Args:
            instrument: name of an instrument, or "expert" for `region_test`.
            region_mask: bool HxW in the upright frame; or
            box_xyxy: in pixels of the upright picture.

        Raises:
            MeasurementError: no or both regions, unknown instrument, or the instrument cannot measure it.
            SourceError: the picture cannot be read.
        """
        source = self.load(picture)
        known = {i.name: i for i in all_instruments()}
        if instrument not in measuring_names():
            raise MeasurementError(f"no instrument {instrument!r}; wanted one of {', '.join(measuring_names())}")
        if (region_mask is None) == (box_xyxy is None):
            raise MeasurementError("give either region_mask or box_xyxy")
        if box_xyxy is not None:
            region_mask = mask_of_box(box_xyxy, source.height, source.width)
        assert region_mask is not None
        if instrument == EXPERT:
            if self.expert is None:
                raise MeasurementError(f"{EXPERT}: this examination does without the trained network")
            return self.expert.test_region(source, region_mask, self.settings.false_alarms, threads=self._threads)
        measured = known[instrument].measure(source, region_mask)
        return measured if measured.region else measured.model_copy(update={"region": region_of_mask(region_mask)})

    @property
    def tests_regions(self) -> bool:
        """Whether the expert can be asked about one region, see `region_test`."""
        return self.expert is not None and self.expert.calibration is not None and bool(self.expert.calibration.regions)


def _load_expert(setting: str | None) -> Expert | None:
    if setting is None or (setting == EMBEDDED and not has_embedded_weights()):
        return None
    from fakeexplain.localization import load_cached  # brings torch along, which takes a second or two

    return load_cached(None if setting == EMBEDDED else Path(setting))


def has_embedded_weights() -> bool:
    """Whether this copy of the library carries trained weights; a verdict without them says so."""
    return resources.files("fakeexplain").joinpath("weights", "expert", "config.json").is_file()


def versions(instruments: Sequence[object] = (), expert: Expert | None = None) -> dict[str, str]:
    """Versions of everything that can change a figure."""
    found = {"fakeexplain": fakeexplain.__version__, "python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = package_metadata.version(library)
        except package_metadata.PackageNotFoundError:  # e.g. OpenCV installed under its other name
            found[library] = "unknown"
    for instrument in instruments:
        found[f"instrument:{instrument.name}"] = instrument.version  # type: ignore[attr-defined]
    if expert is not None:
        found[f"weights:{expert.name}"] = expert.version
    return found


def examination_mask(examination: Examination) -> np.ndarray:
    """bool HxW: the regions the verdict rests on."""
    return decode_mask(examination.mask)


def expert_map(examination: Examination) -> np.ndarray | None:
    """float32 HxW in [0, 1]: the expert's own map; None without an expert, and for an examination read from JSON."""
    maps = (e.score_map for e in examination.evidence if e.instrument == EXPERT and e.score_map is not None)
    return next(maps, None)


def examination_map(examination: Examination) -> np.ndarray | None:
    """float32 HxW in [0, 1]: the expert's map, raised to 1 where an instrument's finding passed its threshold.

    This is the picture's localization whatever the verdict says; 0.5 is its threshold. Without an expert it is the
    largest of the instruments' score maps, which are not calibrated; None if there is nothing to show. Only for an
    examination made in this process: maps are not part of the JSON.
    """
    maps = {e.instrument: e.score_map for e in examination.evidence if e.score_map is not None}
    if not maps:
        return None
    if EXPERT not in maps:
        return np.maximum.reduce([m.astype(np.float32) for m in maps.values()])
    combined: np.ndarray = maps[EXPERT].astype(np.float32, copy=True)
    limit = examination.verdict.threshold_log10
    passed = [
        e for e in examination.evidence if e.kind == "detection" and e.log10_nfa is not None and e.log10_nfa < limit
    ]
    combined[evidence_mask(passed, *combined.shape)] = 1.0
    return combined
