"""JPEG facts against what Pillow, scipy and the standard say."""

import io
import struct

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn
from skimage import data as pictures

from fakeexplain.imaging.jpeg import (
    STANDARD_CHROMA,
    STANDARD_LUMA,
    ZIGZAG,
    block_dct,
    estimate_quality,
    parse_jpeg,
    read_luma_coefficients,
    scaled_table,
)

ASTRONAUT = pictures.astronaut()


def jpeg(image=ASTRONAUT, **options):
    stream = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(stream, "JPEG", **{"quality": 90} | options)
    return stream.getvalue()


def test_zigzag_order_is_the_standard_one():
    assert len(set(ZIGZAG)) == 64
    # Figure A.6 of ITU-T T.81: position of each coefficient in the zigzag sequence, first three rows.
    order = {rc: k for k, rc in enumerate(ZIGZAG)}
    assert [order[0, c] for c in range(8)] == [0, 1, 5, 6, 14, 15, 27, 28]
    assert [order[1, c] for c in range(8)] == [2, 4, 7, 13, 16, 26, 29, 42]
    assert [order[2, c] for c in range(8)] == [3, 8, 12, 17, 25, 30, 41, 43]
    assert [order[7, c] for c in range(8)] == [35, 36, 48, 49, 57, 58, 62, 63]


def test_standard_tables_by_their_sums_and_corners():
    assert (STANDARD_LUMA.sum(), STANDARD_CHROMA.sum()) == (3688, 5505)
    assert (STANDARD_LUMA[0, 1], STANDARD_LUMA[1, 0], STANDARD_LUMA[7, 0]) == (11, 12, 72)


def pillow_tables(data):
    """Pillow hands its tables out in natural order since 8.3."""
    with Image.open(io.BytesIO(data)) as image:
        return {k: np.array(v, dtype=np.int32).reshape(8, 8) for k, v in image.quantization.items()}


@pytest.mark.parametrize("options", [{"quality": 37}, {"quality": 92}, {"quality": "web_high"}, {"quality": "maximum"}])
def test_tables_are_exactly_what_pillow_reads(options):
    data = jpeg(**options)
    facts, expected = parse_jpeg(data), pillow_tables(data)
    assert facts.tables.keys() == expected.keys()
    for key, table in expected.items():
        assert np.array_equal(facts.tables[key], table)
    assert np.array_equal(facts.luma_table, expected[0])


def test_an_asymmetric_table_keeps_its_orientation():
    """Natural order means [vertical, horizontal]; a transposed reading would swap 40 and 50."""
    table = np.full((8, 8), 16)
    table[0, 1], table[1, 0] = 40, 50
    data = jpeg(qtables=[table.ravel().tolist()] * 2, quality=50)
    assert np.array_equal(parse_jpeg(data).luma_table, table)
    assert np.array_equal(pillow_tables(data)[0], table)


@pytest.mark.parametrize("quality", range(1, 101))
def test_quality_is_exact_for_every_setting_of_libjpeg(quality):
    facts = parse_jpeg(jpeg(ASTRONAUT[:16, :16], quality=quality))
    assert facts.quality_exact
    assert np.array_equal(scaled_table(quality), facts.luma_table)
    if quality > 1:  # quality 1 and 2 clip most entries, yet stay apart
        assert facts.quality == quality


def test_quality_of_a_foreign_table_is_only_near():
    table = scaled_table(80)
    table[2, 3] += 1
    assert estimate_quality(table) == (80, False)


def test_chroma_table_is_scaled_alike():
    facts = parse_jpeg(jpeg(quality=83))
    assert np.array_equal(facts.tables[facts.component_tables[1]], scaled_table(83, STANDARD_CHROMA))


@pytest.mark.parametrize(("code", "name"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")])
def test_subsampling_names(code, name):
    facts = parse_jpeg(jpeg(subsampling=code))
    assert facts.subsampling == name
    assert len(facts.sampling) == 3


def test_grey_cmyk_and_rare_subsampling():
    assert parse_jpeg(jpeg(ASTRONAUT[..., 0])).subsampling == "grey"
    assert len(parse_jpeg(jpeg(Image.fromarray(ASTRONAUT).convert("CMYK"))).sampling) == 4
    data = bytearray(jpeg(subsampling=0))
    frame = data.index(b"\xff\xc0")
    data[frame + 11] = 0x12  # first component: 1 horizontal, 2 vertical
    assert parse_jpeg(bytes(data)).subsampling == "4:4:0"
    data[frame + 11] = 0x41
    assert parse_jpeg(bytes(data)).subsampling == "4:1:1"


@pytest.mark.parametrize("progressive", [False, True])
def test_size_progressive_and_segments(progressive):
    facts = parse_jpeg(jpeg(ASTRONAUT[:99, :321], progressive=progressive))
    assert (facts.width, facts.height, facts.precision) == (321, 99, 8)
    assert facts.progressive is progressive
    names = [s.name for s in facts.segments]
    assert names[0] == "APP0"
    assert names[-1] == "SOS"
    assert ("SOF2" if progressive else "SOF0") in names
    assert facts.segments[0].identifier.startswith(b"JFIF\x00")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"quality": 100}])
def test_trailing_bytes_are_counted_to_the_byte(options):
    data = jpeg(**options)
    assert parse_jpeg(data).trailing_bytes == 0
    assert parse_jpeg(data + b"hidden message").trailing_bytes == 14
    assert parse_jpeg(data + data).trailing_bytes == len(data)


def test_a_preview_inside_exif_does_not_end_the_picture():
    preview = jpeg(ASTRONAUT[:32, :32])
    data = jpeg()
    segment = b"\xff\xe1" + struct.pack(">H", len(preview) + 8) + b"Exif\x00\x00" + preview
    facts = parse_jpeg(data[:2] + segment + data[2:] + b"12345")
    assert (facts.width, facts.height, facts.trailing_bytes) == (512, 512, 5)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"\x89PNG\r\n\x1a\n", b"\xff\xd8" + bytes(100), jpeg()[:40]],
    ids=["empty", "start only", "no frame", "png", "zeros", "cut in the header"],
)
def test_hopeless_headers_give_none(data):
    assert parse_jpeg(data) is None


def test_every_truncation_is_survived():
    data = jpeg(ASTRONAUT[:64, :64])
    for length in range(0, len(data), 7):
        facts = parse_jpeg(data[:length])
        assert facts is None or facts.trailing_bytes == 0


def test_random_damage_never_raises():
    data = jpeg(ASTRONAUT[:64, :64])
    rng = np.random.default_rng(3)
    for _ in range(300):
        damaged = bytearray(data)
        for place in rng.integers(2, min(len(data), 640), size=8):
            damaged[place] = rng.integers(256)
        parse_jpeg(bytes(damaged))


def test_sixteen_bit_tables_are_read():
    data = jpeg(quality=50)
    start = data.index(b"\xff\xdb")
    size = struct.unpack(">H", data[start + 2 : start + 4])[0]
    wide = [int(scaled_table(50)[rc]) * 4 for rc in ZIGZAG]
    segment = b"\xff\xdb" + struct.pack(">HB", 2 + 129, 0x10) + struct.pack(">64H", *wide)
    facts = parse_jpeg(data[:start] + segment + data[start + 2 + size :])
    assert np.array_equal(facts.luma_table, scaled_table(50) * 4)


# ---- DCT ----


def test_block_dct_is_the_orthonormal_dct():
    plane = np.random.default_rng(0).uniform(-128, 127, (43, 66))
    coefficients = block_dct(plane)
    assert coefficients.shape == (5, 8, 8, 8)
    assert coefficients.dtype == np.float32
    for row, column in [(0, 0), (4, 7), (2, 3)]:
        block = plane[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        assert np.allclose(coefficients[row, column], dctn(block, norm="ortho"), atol=2e-3)


def test_block_dct_first_index_is_vertical_frequency():
    wave = np.cos((2 * np.arange(8) + 1) * 3 * np.pi / 16)
    vertical = np.repeat(wave[:, None], 8, axis=1)
    strongest = np.unravel_index(np.abs(block_dct(vertical)[0, 0]).argmax(), (8, 8))
    assert tuple(int(v) for v in strongest) == (3, 0)


@pytest.mark.parametrize("options", [{"quality": 95}, {"quality": 60}, {"quality": 85, "progressive": True}])
@pytest.mark.parametrize("shape", [(256, 320), (101, 77)])
def test_stored_coefficients_times_table_are_the_dct_of_the_decoded_luma(options, shape):
    grey = pictures.camera()[: shape[0], : shape[1]]
    data = jpeg(grey, **options)
    stored = read_luma_coefficients(data)
    assert stored.shape == (-(-shape[0] // 8), -(-shape[1] // 8), 8, 8)
    decoded = np.asarray(Image.open(io.BytesIO(data))).astype(np.float32)
    dct = block_dct(decoded - 128)
    dequantised = (stored * parse_jpeg(data).luma_table)[: dct.shape[0], : dct.shape[1]]
    blocks = decoded[: dct.shape[0] * 8, : dct.shape[1] * 8].reshape(dct.shape[0], 8, -1, 8)
    unclipped = (blocks.min(axis=(1, 3)) > 0) & (blocks.max(axis=(1, 3)) < 255)
    assert unclipped.mean() > 0.5
    error = np.abs(dct - dequantised)[unclipped]
    assert error.max() <= 4.5  # 64 pixels rounded by up to 0.5 give 4 in the worst case, all of one sign
    assert error.mean() < 0.5


def test_luma_of_a_colour_picture_is_the_first_component():
    data = jpeg(subsampling=2, quality=92)
    stored = read_luma_coefficients(data)
    assert stored.shape == (64, 64, 8, 8)
    luma = np.asarray(Image.open(io.BytesIO(data)).convert("YCbCr"))[..., 0].astype(np.float32)
    error = np.abs(block_dct(luma - 128) - stored * parse_jpeg(data).luma_table)
    assert np.median(error) < 1.0
