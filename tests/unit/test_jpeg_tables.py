"""Quantisation tables are named by the family of encoders that writes them; others stay unlisted."""

import numpy as np
import pytest
from PIL import JpegPresets

from fakeexplain.imaging.jpeg import STANDARD_CHROMA, STANDARD_LUMA, parse_jpeg, scaled_table
from fakeexplain.provenance.jpeg_tables import describe_tables, name_table, scale_of
from tests.unit.metadata_files import ASTRONAUT, jpeg


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 90, 95, 100])
def test_libjpeg_tables_are_named_by_quality(quality):
    tables = describe_tables(parse_jpeg(jpeg(quality=quality)))
    flat = quality in (1, 100)  # every entry clipped
    assert tables["luma_family"] == ("flat" if flat else "ijg")
    if not flat:
        assert tables["luma_words"].endswith(f"quality {quality}")
        assert tables["chroma_matches_luma"] is True


def test_table_families():
    photoshop = describe_tables(parse_jpeg(jpeg(quality="web_high")))
    assert photoshop["luma_words"] == "Adobe Photoshop (Save for Web, high)"
    assert photoshop["chroma_matches_luma"] is True
    scaled = np.clip(np.round(STANDARD_LUMA * 0.138), 1, 255).astype(np.int32)
    assert name_table(scaled)[0] == "ijg_scaled"
    assert scale_of(scaled, STANDARD_LUMA) == pytest.approx(0.138, abs=0.001)
    odd = scaled_table(80)
    odd[3, 4] += 2
    assert name_table(odd)[0] == "unlisted"
    assert name_table(scaled_table(80, STANDARD_CHROMA), STANDARD_CHROMA)[1].endswith("quality 80")
    mixed = [[int(v) for v in np.array(t).ravel()] for t in (scaled_table(90), scaled_table(50, STANDARD_CHROMA))]
    assert describe_tables(parse_jpeg(jpeg(qtables=mixed)))["chroma_matches_luma"] is False
    assert describe_tables(parse_jpeg(jpeg(ASTRONAUT[..., 0])))["chroma_family"] is None
    assert set(JpegPresets.presets) >= {"web_low", "maximum"}
