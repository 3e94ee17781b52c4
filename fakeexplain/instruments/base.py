"""What an instrument is: a training-free measurement with a stated false-alarm law.

An instrument sees one `SourceImage`, returns evidence, and keeps no state between images. It abstains, with the reason,
instead of guessing. A localizing instrument returns `detection` records whose `log10_nfa` obeys
P(min NFA over the records of an authentic photograph < e) <= e; `tests/` and `benchmarks/` count this.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from fakeexplain.errors import MeasurementError
from fakeexplain.imaging.source import SourceImage
from fakeexplain.records import Evidence


class Instrument(ABC):
    """One way of looking at a picture.

    Class attributes:
        name, version: identity; the version rises whenever a figure can change.
        title: for people, e.g. "JPEG grid".
        needs: what a picture must have, in words.
        measures: what it looks for, one sentence.
        localizes: whether its detections count for the verdict.
        examines_whole_pictures: False for one that only measures regions somebody asks about.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[str]
    measures: ClassVar[str]
    localizes: ClassVar[bool] = True
    examines_whole_pictures: ClassVar[bool] = True

    @abstractmethod
    def examine(self, source: SourceImage) -> list[Evidence]:
        """Looks at the whole picture. At least one record; an abstention when nothing could be measured."""

    def measure(self, source: SourceImage, region_mask: np.ndarray) -> Evidence:
        """Measures inside a region somebody chose (bool HxW, upright frame): kind `measurement`, no NFA.

        Raises:
            MeasurementError: the instrument cannot do that, or the region is too small for it.
        """
        raise MeasurementError(f"{self.name} does not measure chosen regions; try region_contrast")

    def abstain(self, reason: str, **details: Any) -> Evidence:
        """A record that says why nothing was measured; `reason` is a clause that a layman can follow."""
        return Evidence(
            instrument=self.name,
            instrument_version=self.version,
            kind="abstention",
            trace="none",
            quantity=self.measures,
            reason=reason,
            details=details,
        )
