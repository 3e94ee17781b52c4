"""Figures in words: rounded as a reader may see them, and never more telling than could be checked.

Left out: units and references (`wording`), and parsing figures (`grounding_records`).
"""

from __future__ import annotations

import math

from fakeexplain.reasoning.phrases import TEXT

CHECKABLE = 1_000_000  # no tail of a background model was ever counted on more pictures than this


def number_words(value: float) -> str:
    """Two or three significant digits, thousands in groups.

    >>> number_words(12345), number_words(6.104), number_words(3.0), number_words(0.00012)
    ('12,345', '6.1', '3.0', '0.00012')
    """
    if not math.isfinite(value):
        return TEXT["no_figure"]
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    if 1 <= abs(value) < 10:
        return f"{value:.1f}"
    return f"{value:.3g}" if abs(value) >= 10 else f"{value:.2g}"


def percent_of(probability: float) -> str:
    """A probability as a reader may see it; never 0 % nor 100 %."""
    if probability > 0.999:
        return TEXT["over_999"]
    if probability < 0.001:
        return TEXT["under_001"]
    digits = 1 if probability > 0.99 or probability < 0.01 else 0
    return f"{100 * probability:.{digits}f} %"


def one_in(log10_rate: float) -> str:
    """10 ** `log10_rate` (below 1) as "1 of 10,000", rounded towards the less impressive figure and never rarer than
    one in a million, for no background model was checked on more pictures.

    >>> one_in(-4.3), one_in(-2.62), one_in(-50)
    ('1 of 10,000', '1 of 400', '1 of 1,000,000')
    """
    if log10_rate <= -math.log10(CHECKABLE):
        return f"1 of {CHECKABLE:,}"
    count = 10.0**-log10_rate * (1 + 1e-9)
    unit = 10.0 ** math.floor(math.log10(count))
    return f"1 of {int(count // unit * unit):,}"


def rate_words(rate: float) -> str:
    """A promised rate as a count: 0.02 -> "2 of 100"."""
    for total in (100, 1_000, 10_000, 100_000, 1_000_000):
        count = rate * total
        if count >= 0.999 and abs(count - round(count)) < 1e-6 * total:
            return f"{round(count):,} of {total:,}"
    return f"{rate:.2g}"
