"""Names for JPEG quantisation tables: which encoder family writes tables like these.

Known families: Annex K of ITU-T T.81 scaled by an integer quality (libjpeg, "IJG"), Annex K scaled by any factor (many
cameras), the Adobe Photoshop presets that ship with Pillow, N. Robidoux' table (ImageMagick, mozjpeg) and flat tables.
Left out on purpose: lists of camera models. "Not in our list" is the normal state of a camera's own file and says
nothing about manipulation.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from PIL import JpegPresets

from fakeexplain.imaging.jpeg import STANDARD_CHROMA, STANDARD_LUMA, ZIGZAG, JpegFacts, estimate_quality, scaled_table

# mozjpeg's default ("ImageMagick table by N. Robidoux"), natural order; it serves luma and chroma alike.
ROBIDOUX = np.array(
    [
        [16, 16, 16, 18, 25, 37, 56, 85],
        [16, 17, 20, 27, 34, 40, 53, 75],
        [16, 20, 24, 31, 43, 62, 91, 135],
        [18, 27, 31, 40, 53, 74, 106, 156],
        [25, 34, 43, 53, 69, 94, 131, 189],
        [37, 40, 62, 74, 94, 124, 169, 238],
        [56, 53, 91, 106, 131, 169, 226, 311],
        [85, 75, 135, 156, 189, 238, 311, 418],
    ],
    dtype=np.int32,
)
_PRESET_NAMES = {
    "web_low": "Save for Web, low",
    "web_medium": "Save for Web, medium",
    "web_high": "Save for Web, high",
    "web_very_high": "Save for Web, very high",
    "web_maximum": "Save for Web, maximum",
    "low": "Save As, low",
    "medium": "Save As, medium",
    "high": "Save As, high",
    "maximum": "Save As, maximum",
}
_MIN_INFORMATIVE = 16  # entries off the clipping limits that a scale factor must explain


@cache
def _photoshop_presets(slot: int) -> dict[bytes, str]:
    """Table (int32, natural order, as bytes) -> presets in words, out of Pillow's list; slot 0 luma, 1 chroma."""
    presets: dict[bytes, str] = {}
    pillow_presets: dict[str, Any] = JpegPresets.presets
    for key, words in _PRESET_NAMES.items():
        table = np.asarray(pillow_presets[key]["quantization"][slot], dtype=np.int32).tobytes()
        presets[table] = f"{presets[table]} or {words}" if table in presets else words
    return presets


def scale_of(table: np.ndarray, base: np.ndarray) -> float | None:
    """The factor s with table == clip(round(s x base), 1, 255) for every entry, None where there is none.

    Args:
        table, base: int32 8x8, natural order.

    Returns:
        The middle of the interval of factors that fit; None also when most entries are clipped and any factor would do.
    """
    free = (table > 1) & (table < 255)
    if int(free.sum()) < _MIN_INFORMATIVE:
        return None
    low = float(((table - 0.5) / base)[table > 1].max())
    high = float(((table + 0.5) / base)[table < 255].min())
    return (low + high) / 2 if low <= high + 1e-9 else None


def name_table(table: np.ndarray, base: np.ndarray = STANDARD_LUMA) -> tuple[str, str]:
    """(family, words) of one table: ijg, ijg_scaled, photoshop, robidoux, flat or unlisted.

    Args:
        table: int32 8x8, natural order.
        base: STANDARD_LUMA or STANDARD_CHROMA, whichever the table serves.
    """
    if (table == table[0, 0]).all():
        return "flat", f"flat table, every step {int(table[0, 0])}"
    for quality in range(100, 0, -1):
        if np.array_equal(scaled_table(quality, base), table):
            return "ijg", f"standard table of libjpeg at quality {quality}"
    slot = 0 if base is STANDARD_LUMA else 1
    preset = _photoshop_presets(slot).get(np.ascontiguousarray(table, dtype=np.int32).tobytes())
    if preset is not None:
        return "photoshop", f"Adobe Photoshop ({preset})"
    factor = scale_of(table, base)
    if factor is not None:
        return "ijg_scaled", f"standard table scaled by {factor:.3f}, no whole quality of libjpeg"
    factor = scale_of(table, ROBIDOUX)
    if factor is not None:
        return "robidoux", f"table of mozjpeg and ImageMagick scaled by {factor:.3f}"
    return "unlisted", "not in our list of tables, as with most cameras' own"


def describe_tables(facts: JpegFacts) -> dict[str, Any]:
    """Everything said about the tables of one JPEG, as JSON scalars and lists.

    Keys: luma_family, luma_words, chroma_family, chroma_words, chroma_matches_luma (None for grey or unlisted tables),
    tables_defined, tables_used, nearest_quality, luma_steps and chroma_steps (64 values in zigzag order, as in files).
    """
    luma = facts.luma_table
    family, words = name_table(luma)
    result: dict[str, Any] = {
        "luma_family": family,
        "luma_words": words,
        "chroma_family": None,
        "chroma_words": None,
        "chroma_matches_luma": None,
        "tables_defined": len(facts.tables),
        "tables_used": len(set(facts.component_tables)),
        "nearest_quality": facts.quality,
        "luma_steps": [int(luma[rc]) for rc in ZIGZAG],
    }
    chroma_ids = set(facts.component_tables[1:])
    if not chroma_ids or not chroma_ids <= set(facts.tables):
        return result
    chroma = facts.tables[facts.component_tables[1]]
    result["chroma_family"], result["chroma_words"] = name_table(chroma, STANDARD_CHROMA)
    result["chroma_steps"] = [int(chroma[rc]) for rc in ZIGZAG]
    if family == "ijg":
        quality, _ = estimate_quality(luma)
        same = np.array_equal(chroma, scaled_table(quality, STANDARD_CHROMA))
        result["chroma_matches_luma"] = bool(same or np.array_equal(chroma, luma))
    elif family == "photoshop":
        result["chroma_matches_luma"] = result["chroma_words"] == words
    return result
