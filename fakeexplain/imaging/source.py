"""Bytes -> SourceImage. The hash is taken first; the bytes are kept; every conversion is done once and remarked.

Deliberately left out: colour management of the examined pixels. Traces live in the values as stored, so an ICC profile
is only applied to the pictures that people look at (`SourceImage.display_rgb`). Nothing here resizes.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import threading
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from fakeexplain.errors import ImageTooLargeError, SourceError, UnsupportedImageError
from fakeexplain.imaging.jpeg import JpegFacts, parse_jpeg, read_luma_coefficients
from fakeexplain.records import SourceFacts

DEFAULT_MAX_MEGAPIXELS = 150.0
MAX_FILE_BYTES = 2 << 30
READABLE_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "HEIF", "AVIF")
SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff"),
    *(".webp", ".bmp", ".gif", ".heic", ".heif", ".avif"),
}

_pillow_lock = threading.Lock()
_pillow_ready = False


def _prepare_pillow() -> None:
    """Registers HEIF once and replaces Pillow's pixel limit by our own, which is checked before decoding."""
    global _pillow_ready
    with _pillow_lock:
        if not _pillow_ready:
            import pi_heif

            pi_heif.register_heif_opener()
            Image.MAX_IMAGE_PIXELS = None
            _pillow_ready = True


@dataclass(frozen=True, eq=False)
class SourceImage:
    """One image as received.

    Attributes:
        name: what to call it in answers (a relative path, or what the caller gave).
        data: the exact bytes.
        sha256: hex digest of `data`.
        format: "JPEG", "PNG", ... by content, never by extension.
        rgb: uint8 HxWx3, upright, read-only; sRGB or whatever the file's profile says: values as stored.
        mode: Pillow's name of the stored pixel layout ("RGB", "L", "P", "CMYK", "RGBA", "I;16", ...).
        bit_depth: stored bits per sample.
        orientation: EXIF orientation 1..8 that led from the stored to the upright frame.
        jpeg: JPEG header facts, None for other formats.
        icc_profile: raw profile or None.
        exif: raw EXIF block (TIFF structure, without the "Exif\\0\\0" prefix) or None.
        xmp: raw XMP packet or None.
        remarks: one clause per conversion that was done.
    """

    name: str
    data: bytes = field(repr=False)
    sha256: str
    format: str
    rgb: np.ndarray = field(repr=False)
    mode: str
    bit_depth: int
    orientation: int = 1
    jpeg: JpegFacts | None = field(default=None, repr=False)
    icc_profile: bytes | None = field(default=None, repr=False)
    exif: bytes | None = field(default=None, repr=False)
    xmp: bytes | None = field(default=None, repr=False)
    remarks: tuple[str, ...] = ()

    @property
    def height(self) -> int:
        return int(self.rgb.shape[0])

    @property
    def width(self) -> int:
        return int(self.rgb.shape[1])

    @property
    def megapixels(self) -> float:
        return self.height * self.width / 1e6

    @cached_property
    def luma(self) -> np.ndarray:
        """float32 HxW in [0, 255], Rec. 601 luminance of `rgb`, not rounded, read-only."""
        plane = self.rgb[..., 0] * np.float32(0.299)  # cv2.transform would round: it keeps the depth of its input
        plane += self.rgb[..., 1] * np.float32(0.587)
        plane += self.rgb[..., 2] * np.float32(0.114)
        plane.setflags(write=False)
        return plane

    @cached_property
    def luma_coefficients(self) -> np.ndarray | None:
        """Quantised luma coefficients of a JPEG in the *stored* frame (see `read_luma_coefficients`), else None.

        None also for a JPEG whose coefficients libjpeg does not hand out (lossless, arithmetic, 12 bit).
        """
        if self.jpeg is None or self.jpeg.precision != 8:
            return None
        try:
            return read_luma_coefficients(self.data)
        except (OSError, RuntimeError, ValueError):
            return None

    def upright(self, stored: np.ndarray) -> np.ndarray:
        """An array of the stored frame (HxW or HxWxC) in the upright frame."""
        return orient(stored, self.orientation)

    @cached_property
    def display_rgb(self) -> np.ndarray:
        """uint8 HxWx3 for people to look at: `rgb` brought to sRGB where an RGB profile is embedded."""
        if self.icc_profile is None or self.mode in ("CMYK", "L", "I;16", "1"):
            return self.rgb
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(self.icc_profile))
            converted = ImageCms.profileToProfile(
                Image.fromarray(self.rgb), profile, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            return np.asarray(converted)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            return self.rgb

    def facts(self) -> SourceFacts:
        """The serialisable part."""
        jpeg = None
        if self.jpeg is not None:
            jpeg = {
                "quality": self.jpeg.quality,
                "quality_exact": self.jpeg.quality_exact,
                "subsampling": self.jpeg.subsampling,
                "progressive": self.jpeg.progressive,
                "quantisation_tables": {str(k): v.tolist() for k, v in self.jpeg.tables.items()},
                "segments": [s.name for s in self.jpeg.segments],
                "trailing_bytes": self.jpeg.trailing_bytes,
            }
        return SourceFacts(
            name=self.name,
            sha256=self.sha256,
            size_bytes=len(self.data),
            format=self.format,
            width=self.width,
            height=self.height,
            mode=self.mode,
            bit_depth=self.bit_depth,
            remarks=self.remarks,
            jpeg=jpeg,
        )

    @classmethod
    def from_path(
        cls, path: str | os.PathLike[str], *, name: str | None = None, max_megapixels: float = DEFAULT_MAX_MEGAPIXELS
    ) -> SourceImage:
        """Reads a file.

        Raises:
            SourceError: missing, a folder, empty, unreadable, not an image, broken.
            ImageTooLargeError: more pixels than `max_megapixels`; decided from the header.
        """
        label = printable(name if name is not None else str(Path(path)))
        data = read_file(Path(path), label)
        return cls.from_bytes(data, name=label, max_megapixels=max_megapixels)

    @classmethod
    def from_bytes(
        cls, data: bytes, *, name: str = "image", max_megapixels: float = DEFAULT_MAX_MEGAPIXELS
    ) -> SourceImage:
        """Decodes bytes of any readable format. Raises as `from_path`."""
        sha256 = hashlib.sha256(data).hexdigest()
        name = printable(name)
        if not data:
            raise SourceError(f"{name}: the file is empty (0 bytes), wanted an image")
        _prepare_pillow()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decode(data, sha256, name, max_megapixels)


def read_file(path: Path, label: str) -> bytes:
    """The bytes of a regular file of acceptable size. Raises SourceError, with `label` as the file's name."""
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise SourceError(f"{label}: is a folder, wanted an image file; name the pictures in it or use the CLI")
        if not path.is_file():
            raise SourceError(f"{label}: is not a regular file, wanted an image file")
        if size > MAX_FILE_BYTES:
            raise SourceError(f"{label}: {size / 2**30:.1f} GiB, wanted at most {MAX_FILE_BYTES >> 30} GiB")
        return path.read_bytes()
    except FileNotFoundError:
        raise SourceError(f"{label}: no such file; check the path") from None
    except (PermissionError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"{label}: cannot be read ({reason}); check the path and its permissions") from None


def printable(text: str, limit: int = 1024) -> str:
    """Text from outside (file names, messages) without control characters, lone surrogates or endless length.

    >>> printable("a\\x1b[31mb")
    'a?[31mb'
    """
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def orient(stored: np.ndarray, orientation: int) -> np.ndarray:
    """Applies an EXIF orientation 1..8 (TIFF 6.0, tag 274) to an array HxW or HxWxC; returns a contiguous array."""
    if orientation in (2, 4):
        stored = stored[:, ::-1] if orientation == 2 else stored[::-1]
    elif orientation == 3:
        stored = stored[::-1, ::-1]
    elif orientation in (5, 6, 7, 8):
        stored = stored.swapaxes(0, 1)
        if orientation == 6:
            stored = stored[:, ::-1]
        elif orientation == 8:
            stored = stored[::-1]
        elif orientation == 7:
            stored = stored[::-1, ::-1]
    return np.ascontiguousarray(stored)


def _open(data: bytes, name: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        start = data[:4].hex(" ")
        raise UnsupportedImageError(
            f"{name}: not a readable image (first bytes {start}); wanted one of {', '.join(READABLE_FORMATS)}"
        ) from None
    except Exception as error:  # decoders raise whatever they like on hostile headers
        raise SourceError(
            f"{name}: the image header is broken ({_short(error)}); try to obtain the file again"
        ) from None


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return printable(text, 160)


def _stored_bits(data: bytes, image: Image.Image) -> int:
    if image.format == "PNG" and len(data) > 25:
        return int(data[24])
    if image.format == "TIFF":
        bits = image.tag_v2.get(258, (8,))  # type: ignore[attr-defined]
        return int(max(bits)) if isinstance(bits, tuple) else int(bits)
    return {"1": 1, "I;16": 16, "I;16B": 16, "I": 32, "F": 32}.get(image.mode, 8)


def _decode_16_bit(data: bytes, name: str) -> np.ndarray:
    """16-bit samples through OpenCV, for Pillow drops the low byte of RGB silently: uint8 HxWx3, rounded."""
    try:
        array = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from None
        array = None
    if array is None or array.dtype != np.uint16:
        raise UnsupportedImageError(f"{name}: 16-bit image of a layout that is not read; convert it to 16-bit RGB PNG")
    eight = np.empty(array.shape, np.uint8)
    for top in range(0, len(array), 256):  # in strips: a wider copy of the whole would double the peak
        eight[top : top + 256] = (array[top : top + 256].astype(np.uint32) + 128) // 257
    if eight.ndim == 2:
        return np.repeat(eight[..., None], 3, axis=2)
    return np.ascontiguousarray(eight[..., 2::-1])


def _decode(data: bytes, sha256: str, name: str, max_megapixels: float) -> SourceImage:
    image = _open(data, name)
    format_name = "JPEG" if image.format == "MPO" else (image.format or "unknown")
    if format_name not in READABLE_FORMATS:
        raise UnsupportedImageError(f"{name}: {format_name} is not read; wanted one of {', '.join(READABLE_FORMATS)}")
    width, height = image.size
    if width * height > max_megapixels * 1e6:
        raise ImageTooLargeError(
            f"{name}: {width}x{height} is {width * height / 1e6:,.1f} megapixels, limit {max_megapixels:g}; "
            "the limit can be raised (--max-megapixels) where the file is trusted"
        )
    mode, remarks = image.mode, []
    try:
        bits = _stored_bits(data, image)
        frames = int(getattr(image, "n_frames", 1)) if format_name != "JPEG" else 1
        if frames > 1:
            remarks.append(f"first of {frames} frames or pages examined, the others were not")
        if mode == "F" or bits > 16:
            raise UnsupportedImageError(
                f"{name}: {bits}-bit samples ({mode}) are not read; convert to 16-bit TIFF or PNG"
            )
        if bits == 16:
            stored = _decode_16_bit(data, name)
            remarks.append("16-bit samples rounded to 8 bits")
        else:
            stored = _decode_8_bit(image, remarks)
    except SourceError:
        raise
    except MemoryError:
        raise SourceError(
            f"{name}: not enough memory to decode {width}x{height}; examine it on a larger machine"
        ) from None
    except Exception as error:
        raise SourceError(
            f"{name}: the {format_name} data is broken or truncated ({_short(error)}); try to obtain the file again"
        ) from None
    # Pillow turns TIFF pixels while loading and then drops the tag; OpenCV turns the 16-bit ones, the tag stays.
    orientation = 1 if format_name == "TIFF" else _orientation(image)
    if orientation != 1:
        remarks.append(f"turned upright by EXIF orientation {orientation}")
    icc = image.info.get("icc_profile") or None
    if icc is not None:
        remarks.append("ICC profile applied to the shown pictures only, stored values examined")
    rgb = orient(stored, orientation)
    rgb.setflags(write=False)
    return SourceImage(
        name=name,
        data=data,
        sha256=sha256,
        format=format_name,
        rgb=rgb,
        mode=mode,
        bit_depth=bits,
        orientation=orientation,
        jpeg=parse_jpeg(data) if format_name == "JPEG" else None,
        icc_profile=icc,
        exif=_exif_bytes(image),
        xmp=_xmp_bytes(image),
        remarks=tuple(remarks),
    )


def _decode_8_bit(image: Image.Image, remarks: list[str]) -> np.ndarray:
    """Any Pillow mode of up to 8 bits -> uint8 HxWx3, appending what was done to `remarks`."""
    image.load()
    if image.mode == "P" and "transparency" in image.info:
        remarks.append("palette with transparency expanded to RGB, transparency set aside")
        image = image.convert("RGBA")
    elif image.mode in ("P", "1"):
        remarks.append("palette expanded to RGB" if image.mode == "P" else "black and white expanded to RGB")
        image = image.convert("RGB")
    elif image.mode in ("L", "LA", "La"):
        remarks.append("grey image repeated into three channels")
        image = image.convert("LA" if image.mode != "L" else "L")
        return np.repeat(np.asarray(image).reshape(image.height, image.width, -1)[..., :1], 3, axis=2)
    elif image.mode == "CMYK":
        remarks.append("CMYK converted to RGB by the plain formula, colours are approximate")
        image = image.convert("RGB")
    elif image.mode not in ("RGB", "RGBA", "RGBX", "RGBa"):
        remarks.append(f"{image.mode} converted to RGB")
        image = image.convert("RGB")
    array = np.asarray(image)
    if array.shape[2] == 4:
        if image.mode == "RGBA" and (array[..., 3] != 255).any():
            remarks.append("alpha channel set aside, colour values under it examined as stored")
        array = array[..., :3]
    return array


def _orientation(image: Image.Image) -> int:
    if image.format == "HEIF":  # this decoder hands out upright pixels; Pillow's for AVIF does not
        return 1
    try:
        value = image.getexif().get(0x0112, 1)
        return int(value) if int(value) in range(1, 9) else 1
    except Exception:  # broken EXIF is the normal case for hostile files
        return 1


def _exif_bytes(image: Image.Image) -> bytes | None:
    raw = image.info.get("exif")
    if not isinstance(raw, bytes) or not raw:
        if image.format != "TIFF":
            return None
        try:
            raw = image.getexif().tobytes()
        except (ValueError, TypeError, OSError, struct.error, OverflowError):
            return None
    return raw[6:] if raw.startswith(b"Exif\x00\x00") else raw


def _xmp_bytes(image: Image.Image) -> bytes | None:
    raw = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if isinstance(raw, str):
        return raw.encode("utf-8", "replace")
    return raw if isinstance(raw, bytes) else None
