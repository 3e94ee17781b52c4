"""Pictures of benchmark rows, for people who would rather look than read. Needs matplotlib (extra `plots`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fakeexplain.errors import SettingsError
from fakeexplain.evaluation.metrics import clopper_pearson
from fakeexplain.evaluation.protocol import Row

# Okabe and Ito's colour-blind-safe palette.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def plot_planted(rows: Sequence[Row], path: Path) -> None:
    """Detection rate (top) and F1 (bottom) against region size, a line per final quality, a column per kind.

    Only rows whose strata hold `kind`, `size` and `quality`. Bars are 95 % Clopper-Pearson intervals.

    Raises:
        SettingsError: matplotlib is not installed.
    """
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot as plt
    except ImportError:
        raise SettingsError("plots need matplotlib; pip install 'fakeexplain[plots]'") from None
    chosen = [r for r in rows if {"kind", "size", "quality"} <= set(r.strata)]
    if not chosen:
        return
    kinds = sorted({r.strata["kind"] for r in chosen})
    qualities = sorted({r.strata["quality"] for r in chosen}, key=lambda q: -(math.inf if q == "PNG" else float(q)))
    figure, axes = plt.subplots(
        2, len(kinds), figsize=(2.6 * len(kinds) + 1, 5.2), sharex=True, sharey=True, squeeze=False
    )
    for column, kind in enumerate(kinds):
        for index, quality in enumerate(qualities):
            cell = [r for r in chosen if r.strata["kind"] == kind and r.strata["quality"] == quality]
            sizes = sorted({int(r.strata["size"]) for r in cell})
            groups = [[r for r in cell if int(r.strata["size"]) == s] for s in sizes]
            rates = np.array([np.mean([r.label == "manipulated" for r in g]) for g in groups])
            bounds = [clopper_pearson(sum(r.label == "manipulated" for r in g), len(g)) for g in groups]
            errors = np.abs(np.array(bounds).T - rates) if groups else np.zeros((2, 0))
            x = np.array(sizes) * 1.04 ** (index - len(qualities) / 2)  # so that bars do not hide each other
            style = {"color": COLOURS[index % len(COLOURS)], "marker": "o", "markersize": 4, "linewidth": 1.4}
            axes[0, column].errorbar(x, rates, errors, capsize=2, label=quality, **style)
            axes[1, column].plot(x, [np.mean([r.f1["suite"] for r in g]) for g in groups], **style)
        axes[0, column].set_title(kind.replace("_", " "), fontsize=10)
        axes[1, column].set_xlabel("region side, pixels")
        axes[1, column].set_xscale("log", base=2)
    for axis in axes.flat:
        axis.grid(alpha=0.25)
        axis.set_ylim(-0.03, 1.03)
    ticks = sorted({int(r.strata["size"]) for r in chosen})
    axes[1, 0].set_xticks(ticks, [str(t) for t in ticks])
    axes[0, 0].set_ylabel("detection rate")
    axes[1, 0].set_ylabel("pixel F1")
    figure.legend(*axes[0, -1].get_legend_handles_labels(), title="finished as", loc="outside right upper", fontsize=8)
    figure.tight_layout(rect=(0, 0, 0.93, 1))
    figure.savefig(path, dpi=130)
    plt.close(figure)
