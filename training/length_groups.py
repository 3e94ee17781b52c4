"""The order of samples of different lengths: neighbours are of similar length, so that little of a batch is padding.

Sample `index` of a run is a function of the index alone (and the seed), whatever the number of processes and wherever a
run goes on. Deliberately left out: what a sample is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_POOL = 32  # groups that are sorted by length together; more would order whole epochs by length


@dataclass(frozen=True)
class Place:
    """Which sample an index shows.

    Attributes:
        sample: its number. longest: length of the longest sample of its group. epoch: how often all were shown before.
    """

    sample: int
    longest: int
    epoch: int


class LengthGroups:
    """Epoch after epoch, all samples in a new order, in groups of similar length.

    A group is whole or left out: of each epoch, up to `group` - 1 samples are not shown, other ones each time.

    Args:
        lengths: of the samples, each at least 1.
        group: samples that share one padded length.
        seed: of the order.

    Raises:
        ValueError: no samples, or `group` under 1.
    """

    def __init__(self, lengths: np.ndarray, group: int, seed: int) -> None:
        if not len(lengths) or group < 1:
            raise ValueError(f"{len(lengths)} samples in groups of {group} came; wanted at least 1 and 1")
        self._lengths, self._group, self._seed = np.asarray(lengths), group, seed
        self._epoch: tuple[int, np.ndarray] | None = None

    @property
    def per_epoch(self) -> int:
        """Samples shown in one epoch, a multiple of the group."""
        return max(len(self._lengths) // self._group, 1) * self._group

    def place(self, index: int) -> Place:
        """The sample that `index` (from 0) shows."""
        epoch, position = divmod(index, self.per_epoch)
        order = self._order(epoch)
        start = position // self._group * self._group
        members = order[start : start + self._group]
        return Place(int(order[position]), int(self._lengths[members].max()), epoch)

    def _order(self, epoch: int) -> np.ndarray:
        if self._epoch is None or self._epoch[0] != epoch:
            rng = np.random.default_rng([self._seed, epoch])
            order = rng.permutation(len(self._lengths))
            if len(order) < self._group:  # fewer samples than one group: some are shown twice in it
                order = np.resize(order, self._group)
            order = order[: self.per_epoch]
            pool = _POOL * self._group
            for start in range(0, len(order), pool):
                part = order[start : start + pool]
                order[start : start + pool] = part[np.argsort(self._lengths[part], kind="stable")]
            groups = order.reshape(-1, self._group)
            self._epoch = epoch, groups[rng.permutation(len(groups))].reshape(-1)
        return self._epoch[1]
