"""Bytes -> SourceImage: by content, hashed first, upright, honest about conversions, and safe on anything."""

import hashlib
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from skimage import data as pictures

from fakeexplain.errors import ImageTooLargeError, SourceError, UnsupportedImageError
from fakeexplain.imaging.source import READABLE_FORMATS, SourceImage, orient

RGB = np.ascontiguousarray(pictures.astronaut()[60:160, 150:290])  # 100 x 140, not square


def encode(format_name, image=RGB, **options):
    stream = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(stream, format_name, **options)
    return stream.getvalue()


def png_of(width, height, depth=8, colour=2, body=b"\x00"):
    """A minimal PNG of whatever size its header claims."""

    def chunk(kind, payload):
        return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


# ---- identity ----


def test_hash_name_and_bytes_are_those_received():
    data = encode("PNG")
    source = SourceImage.from_bytes(data, name="a.png")
    assert source.sha256 == hashlib.sha256(data).hexdigest()
    assert source.data is data
    assert source.name == "a.png"
    assert (source.height, source.width, source.megapixels) == (100, 140, 0.014)
    assert source.rgb.dtype == np.uint8
    assert not source.rgb.flags.writeable
    assert not source.luma.flags.writeable


def test_luma_is_rec_601_and_unrounded():
    source = SourceImage.from_bytes(encode("PNG"))
    expected = RGB.astype(np.float64) @ [0.299, 0.587, 0.114]
    assert source.luma.shape == RGB.shape[:2]
    assert source.luma.dtype == np.float32
    error = np.abs(source.luma - expected)
    assert error.max() < 0.01


def test_content_decides_never_the_extension(tmp_path):
    path = tmp_path / "holiday.jpg"
    path.write_bytes(encode("PNG"))
    source = SourceImage.from_path(path)
    assert source.format == "PNG"
    assert source.jpeg is None
    assert np.array_equal(source.rgb, RGB)
    assert SourceImage.from_path(path, name="shown").name == "shown"


def test_facts_are_serialisable():
    facts = SourceImage.from_bytes(encode("JPEG", quality=80)).facts()
    assert facts.jpeg["quality"] == 80
    assert facts.jpeg["quality_exact"] is True
    assert '"sha256"' in facts.model_dump_json()
    assert SourceImage.from_bytes(encode("PNG")).facts().jpeg is None


# ---- formats ----


@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "BMP", "WEBP"])
def test_lossless_formats_are_exact(format_name):
    source = SourceImage.from_bytes(encode(format_name, **({"lossless": True} if format_name == "WEBP" else {})))
    assert source.format == format_name
    assert (source.mode, source.bit_depth, source.orientation, source.remarks) == ("RGB", 8, 1, ())
    assert np.array_equal(source.rgb, RGB)


@pytest.mark.parametrize("format_name", ["JPEG", "WEBP", "AVIF", "GIF"])
def test_lossy_formats_are_close(format_name):
    source = SourceImage.from_bytes(encode(format_name, **({} if format_name == "GIF" else {"quality": 95})))
    assert source.format == format_name
    assert format_name in READABLE_FORMATS
    assert np.abs(source.rgb.astype(int) - RGB).mean() < 6


def test_jpeg_decodes_as_pillow_does_and_keeps_coefficients():
    data = encode("JPEG", quality=88, subsampling=2)
    source = SourceImage.from_bytes(data)
    assert np.array_equal(source.rgb, np.asarray(Image.open(io.BytesIO(data))))
    assert source.jpeg.quality == 88
    assert source.luma_coefficients.shape == (13, 18, 8, 8)
    assert SourceImage.from_bytes(encode("PNG")).luma_coefficients is None


def test_mpo_is_a_jpeg():
    data = encode("MPO", save_all=True, append_images=[Image.fromarray(RGB[::-1].copy())])
    source = SourceImage.from_bytes(data)
    assert source.format == "JPEG"
    assert source.jpeg.trailing_bytes > 0


def test_heic_when_an_encoder_is_there():
    heif = pytest.importorskip("pi_heif")
    heif.register_heif_opener()
    try:
        data = encode("HEIF")
    except (KeyError, OSError, ValueError, RuntimeError, AttributeError):
        pytest.skip("no HEIC encoder (pi_heif only decodes)")
    assert SourceImage.from_bytes(data).format == "HEIF"


@pytest.mark.parametrize("format_name", ["GIF", "TIFF", "PNG", "WEBP"])
def test_only_the_first_of_several_frames_is_examined_and_that_is_said(format_name):
    second = Image.fromarray(RGB[::-1].copy())
    source = SourceImage.from_bytes(encode(format_name, save_all=True, append_images=[second, second]))
    assert np.abs(source.rgb.astype(int) - RGB).mean() < 12
    assert "of 3 frames" in source.remarks[0] or "of 2 frames" in source.remarks[0]


# ---- pixel layouts ----


@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "BMP", "JPEG"])
def test_grey_becomes_three_equal_channels(format_name):
    source = SourceImage.from_bytes(encode(format_name, RGB[..., 1]))
    assert source.mode == "L"
    assert (source.rgb == source.rgb[..., :1]).all()
    assert np.abs(source.rgb[..., 0].astype(int) - RGB[..., 1]).max() <= (40 if format_name == "JPEG" else 0)
    assert "three channels" in source.remarks[0]


def test_palette_alpha_and_bilevel():
    palette = Image.fromarray(RGB).quantize(64)
    source = SourceImage.from_bytes(encode("PNG", palette))
    assert source.mode == "P"
    assert np.array_equal(source.rgb, np.asarray(palette.convert("RGB")))
    assert "palette" in source.remarks[0]
    clear = SourceImage.from_bytes(encode("PNG", palette, transparency=3))
    assert np.array_equal(clear.rgb, source.rgb)
    assert "transparency" in clear.remarks[0]

    bilevel = SourceImage.from_bytes(encode("PNG", Image.fromarray(RGB).convert("1")))
    assert set(np.unique(bilevel.rgb)) == {0, 255}
    assert bilevel.bit_depth == 1


@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "WEBP"])
def test_alpha_is_set_aside_and_colours_under_it_kept(format_name):
    alpha = np.tile(np.arange(140, dtype=np.uint8), (100, 1))
    options = {"lossless": True, "exact": True} if format_name == "WEBP" else {}
    source = SourceImage.from_bytes(encode(format_name, np.dstack([RGB, alpha]), **options))
    assert np.array_equal(source.rgb, RGB)
    assert "alpha" in source.remarks[0]
    opaque = SourceImage.from_bytes(encode("PNG", np.dstack([RGB, np.full_like(alpha, 255)])))
    assert opaque.remarks == ()


def test_grey_with_alpha():
    layers = np.dstack([RGB[..., 0], RGB[..., 1]])
    source = SourceImage.from_bytes(encode("PNG", layers))
    assert source.mode == "LA"
    assert np.array_equal(source.rgb, np.repeat(RGB[..., :1], 3, axis=2))


@pytest.mark.parametrize("format_name", ["JPEG", "TIFF"])
def test_cmyk_is_converted_and_said(format_name):
    source = SourceImage.from_bytes(encode(format_name, Image.fromarray(RGB).convert("CMYK")))
    assert source.mode == "CMYK"
    assert np.abs(source.rgb.astype(int) - RGB).mean() < 8
    assert "CMYK" in source.remarks[0]


def sixteen(values):
    """uint16 samples whose rounding to 8 bits is known: 257 v + jitter within half a step."""
    jitter = np.random.default_rng(1).integers(-128, 129, size=values.shape)
    return np.clip(values.astype(np.int64) * 257 + jitter, 0, 65535).astype(np.uint16)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bit_samples_are_rounded_not_cut(suffix, channels):
    values = RGB[..., 0] if channels == 1 else np.dstack([RGB, RGB[..., 0]])[..., :channels]
    stored = sixteen(values)
    swapped = stored if channels == 1 else stored[..., [2, 1, 0, 3][:channels]]
    ok, data = cv2.imencode(suffix, swapped)
    assert ok
    source = SourceImage.from_bytes(data.tobytes())
    expected = np.repeat(RGB[..., :1], 3, axis=2) if channels == 1 else RGB
    assert source.bit_depth == 16
    assert np.array_equal(source.rgb, expected)
    assert "16-bit samples rounded to 8 bits" in source.remarks


def test_low_bit_depths_of_png():
    grey = png_of(16, 2, depth=4, colour=0, body=b"\x00" + bytes(range(0x01, 0x81, 0x10)) + b"\x00" + bytes(8))
    source = SourceImage.from_bytes(grey)
    assert (source.bit_depth, source.height, source.width) == (4, 2, 16)
    assert source.rgb[1].max() == 0


@pytest.mark.parametrize("mode", ["F", "I"])
def test_float_and_32_bit_samples_are_refused_with_a_hint(mode):
    with pytest.raises(UnsupportedImageError, match="convert to"):
        SourceImage.from_bytes(encode("TIFF", Image.fromarray(RGB).convert("L").convert(mode)))


# ---- orientation ----


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
def test_every_orientation_equals_pillows_transpose(format_name, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format_name == "WEBP" else {}
    data = encode(format_name, exif=exif, **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    source = SourceImage.from_bytes(data)
    assert source.rgb.shape == ((140, 100, 3) if orientation >= 5 else (100, 140, 3))
    assert np.array_equal(source.rgb, expected)
    if source.jpeg is not None:  # coefficients stay in the stored frame
        assert source.orientation == orientation
        assert source.luma_coefficients.shape[:2] == (13, 18)
        assert any("upright" in r for r in source.remarks) == (orientation != 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_orientation_of_sixteen_bit_files(suffix, orientation):
    """A 16-bit file must come out like the 8-bit file with the same tag, turned once."""
    stored = RGB[..., ::-1].astype(np.uint16) * 257
    exif = Image.Exif()
    exif[0x0112] = orientation
    ok, encoded = cv2.imencode(suffix, stored)
    assert ok
    data = encoded.tobytes()
    if suffix == ".png":
        block = exif.tobytes()[6:]
        chunk = struct.pack(">I", len(block)) + b"eXIf" + block + struct.pack(">I", zlib.crc32(b"eXIf" + block))
        data = data[:33] + chunk + data[33:]
    else:
        data = retagged(data, orientation)
    assert np.array_equal(SourceImage.from_bytes(data).rgb, orient(RGB, orientation))


def retagged(tiff, orientation):
    """A little-endian TIFF whose first directory is copied to the end with the orientation tag added or replaced."""
    (offset,) = struct.unpack("<I", tiff[4:8])
    (count,) = struct.unpack("<H", tiff[offset : offset + 2])
    entries = [tiff[offset + 2 + 12 * k : offset + 14 + 12 * k] for k in range(count)]
    entries = [e for e in entries if e[:2] != b"\x12\x01"] + [struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)]
    entries.sort(key=lambda e: struct.unpack("<H", e[:2])[0])
    tiff += b"\x00" * (len(tiff) % 2)
    return (
        tiff[:4]
        + struct.pack("<I", len(tiff))
        + tiff[8:]
        + struct.pack("<H", len(entries))
        + b"".join(entries)
        + bytes(4)
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orient_works_on_maps_too(orientation):
    plane = RGB[..., 0]
    assert np.array_equal(orient(plane, orientation), orient(RGB, orientation)[..., 0])
    assert orient(plane, orientation).flags.c_contiguous


@pytest.mark.parametrize("value", [0, 9, 77])
def test_nonsense_orientation_is_ignored(value):
    exif = Image.Exif()
    exif[0x0112] = value
    source = SourceImage.from_bytes(encode("JPEG", exif=exif))
    assert (source.orientation, source.height) == (1, 100)


# ---- metadata blocks ----


def test_exif_and_xmp_and_profile_are_kept():
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    for format_name in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
        source = SourceImage.from_bytes(encode(format_name, exif=exif))
        assert source.exif[:2] in (b"II", b"MM"), format_name
        assert b"Maker" in source.exif
    source = SourceImage.from_bytes(encode("JPEG", xmp=b"<x:xmpmeta/>"))
    assert source.xmp == b"<x:xmpmeta/>"
    assert SourceImage.from_bytes(encode("JPEG")).exif is None


@pytest.mark.parametrize("seed", range(30))
def test_exif_garbage_never_raises(seed):
    rng = np.random.default_rng(seed)
    start = [b"", b"II*\x00\x08\x00\x00\x00", b"MM\x00*\x00\x00\x00\x08"][seed % 3]
    garbage = b"Exif\x00\x00" + start + rng.integers(0, 256, 400).astype(np.uint8).tobytes()
    source = SourceImage.from_bytes(encode("JPEG", exif=garbage))
    assert source.rgb.shape in ((100, 140, 3), (140, 100, 3))


def test_broken_profile_falls_back_to_stored_values():
    source = SourceImage.from_bytes(encode("JPEG", icc_profile=b"not a profile"))
    assert np.array_equal(source.display_rgb, source.rgb)


# ---- refusals ----


def test_empty_missing_folder_and_text(tmp_path):
    with pytest.raises(SourceError, match="0 bytes"):
        SourceImage.from_bytes(b"", name="x")
    with pytest.raises(SourceError, match="no such file"):
        SourceImage.from_path(tmp_path / "missing.jpg")
    with pytest.raises(SourceError, match="is a folder"):
        SourceImage.from_path(tmp_path)
    path = tmp_path / "text.jpg"
    path.write_text("this is no picture")
    with pytest.raises(UnsupportedImageError, match="not a readable image"):
        SourceImage.from_path(path)


@pytest.mark.parametrize("format_name", ["PPM", "ICO", "TGA", "PCX"])
def test_formats_outside_the_list_are_refused(format_name):
    with pytest.raises(UnsupportedImageError, match="wanted one of"):
        SourceImage.from_bytes(encode(format_name))


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "AVIF", "BMP"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
def test_truncated_files_are_one_clear_error(format_name, part):
    data = encode(format_name)
    with pytest.raises(SourceError) as caught:
        SourceImage.from_bytes(data[: int(len(data) * part)], name="cut")
    message = str(caught.value)
    assert message.startswith("cut:")
    assert message.isprintable()


@pytest.mark.parametrize("size", [(60000, 60000), (200_000_000, 1), (13_000, 13_000)])
def test_pixel_bombs_are_refused_from_the_header(size, monkeypatch):
    def never(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", never)
    with pytest.raises(ImageTooLargeError, match="megapixels"):
        SourceImage.from_bytes(png_of(*size))


def test_the_limit_can_be_chosen():
    with pytest.raises(ImageTooLargeError, match="--max-megapixels"):
        SourceImage.from_bytes(encode("PNG"), max_megapixels=0.01)
    assert SourceImage.from_bytes(encode("PNG"), max_megapixels=0.014).width == 140


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "AVIF"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1)])
def test_smallest_pictures(format_name, shape):
    source = SourceImage.from_bytes(encode(format_name, np.full((*shape, 3), 77, np.uint8)))
    assert source.rgb.shape == (*shape, 3)
    assert source.luma.shape == shape


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP"])
def test_random_damage_gives_a_picture_or_a_source_error(format_name):
    data = encode(format_name)
    rng = np.random.default_rng(7)
    for _ in range(40):
        damaged = bytearray(data)
        for place in rng.integers(0, min(len(data), 2000), size=5):
            damaged[place] = rng.integers(256)
        try:
            source = SourceImage.from_bytes(bytes(damaged), max_megapixels=1)
        except SourceError:
            continue
        assert source.rgb.ndim == 3
        assert source.rgb.shape[2] == 3
