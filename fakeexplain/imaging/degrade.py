"""Codecs and finishing chains: what happens to a picture between the edit and the file somebody receives.

The only place of the project that encodes pictures. Everything is a real codec run in memory (libjpeg and libwebp
through Pillow); nothing is simulated. A chain is a list of frozen steps that serialises to JSON and does the same again
when read back, bit for bit with the same library versions: random steps carry their own seed.

Deliberately left out: choosing steps for a purpose (`data_tools.forge.histories` does that for training pictures,
`evaluation` for robustness curves) and video codecs.

Frames: rgb is uint8 HxWx3; boxes are xyxy in pixels of the picture the step receives; JPEG grid offsets are (x, y) in
0..7 and name the first column and row at which an 8x8 block begins.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import cv2
import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Subsampling = Literal["4:4:4", "4:2:2", "4:2:0"]
Tables = tuple[tuple[int, ...], tuple[int, ...]]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "area"]

_PILLOW_SUBSAMPLING = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}
_CV2_INTERPOLATION = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
    "area": cv2.INTER_AREA,
}


def encode_jpeg(
    rgb: np.ndarray,
    quality: int,
    *,
    subsampling: Subsampling = "4:2:0",
    progressive: bool = False,
    tables: Tables | None = None,
) -> bytes:
    """Baseline or progressive JPEG with libjpeg's standard tables of `quality` (1..100).

    Args:
        tables: quantisation tables (luma, chroma) in place of those of `quality`, each 64 values of 1..255 in natural
            order: a camera's or an editor's.
    """
    # Pillow would scale given tables by the quality, so only one of the two is handed over.
    quantisation = {"quality": quality} if tables is None else {"qtables": [list(table) for table in tables]}
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(
        buffer, "JPEG", subsampling=_PILLOW_SUBSAMPLING[subsampling], progressive=progressive, **quantisation
    )
    return buffer.getvalue()


def encode_webp(rgb: np.ndarray, quality: int) -> bytes:
    """Lossy WebP of `quality` (0..100); method 2 is what services that encode on the fly use for speed."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "WEBP", quality=quality, method=2)
    return buffer.getvalue()


def encode_png(rgb: np.ndarray) -> bytes:
    """Lossless; light compression, because time matters more than bytes here."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def decode(data: bytes) -> np.ndarray:
    """Bytes of JPEG, PNG or WebP -> uint8 HxWx3, writable, stored frame (no EXIF turning).

    Raises:
        OSError: the bytes are not an image (Pillow's UnidentifiedImageError is one).
    """
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def jpeg_round_trip(
    rgb: np.ndarray,
    quality: int,
    *,
    subsampling: Subsampling = "4:2:0",
    offset: tuple[int, int] = (0, 0),
    progressive: bool = False,
    tables: Tables | None = None,
) -> np.ndarray:
    """Compresses and decompresses on a grid whose blocks begin at `offset` (x, y), each 0..7."""
    pad_x, pad_y = -offset[0] % 8, -offset[1] % 8
    if pad_x or pad_y:
        rgb = cv2.copyMakeBorder(rgb, pad_y, 0, pad_x, 0, cv2.BORDER_REPLICATE)
    decoded = decode(encode_jpeg(rgb, quality, subsampling=subsampling, progressive=progressive, tables=tables))
    return decoded[pad_y:, pad_x:]


def resize(rgb: np.ndarray, width: int, height: int, method: Interpolation = "bicubic") -> np.ndarray:
    """OpenCV's resize; only "area" low-passes before shrinking, the others alias as fast programs do."""
    return cv2.resize(rgb, (width, height), interpolation=_CV2_INTERPOLATION[method])


def add_noise(rgb: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """White Gaussian noise of `sigma` grey levels, independent per channel (luma gets 0.67 sigma)."""
    noise = rng.standard_normal(rgb.shape, dtype=np.float32)
    return np.clip(np.rint(rgb + noise * np.float32(sigma)), 0, 255).astype(np.uint8)


def unsharp(rgb: np.ndarray, amount: float, sigma: float = 1.0) -> np.ndarray:
    """Unsharp masking: rgb + amount * (rgb - blurred)."""
    return cv2.addWeighted(rgb, 1.0 + amount, cv2.GaussianBlur(rgb, (0, 0), sigma), -amount, 0.0)


def tone(rgb: np.ndarray, *, contrast: float = 1.0, brightness: float = 0.0, gamma: float = 1.0) -> np.ndarray:
    """One lookup table for all channels: gamma first, then contrast about mid-grey, then brightness in grey levels."""
    levels = 255.0 * (np.arange(256) / 255.0) ** gamma
    table = np.clip(np.rint((levels - 128.0) * contrast + 128.0 + brightness), 0, 255).astype(np.uint8)
    return cv2.LUT(rgb, table)


def saturate(rgb: np.ndarray, factor: float) -> np.ndarray:
    """Scales colour differences about the luma; 0 is grey, 1 changes nothing (but for rounding)."""
    luma = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(rgb, factor, luma, 1.0 - factor, 0.0)


_BAYER = {  # OpenCV names a pattern by its second row and column, so RGGB is called BG there
    ("RGGB", "bilinear"): cv2.COLOR_BayerBG2RGB,
    ("RGGB", "edge-aware"): cv2.COLOR_BayerBG2RGB_EA,
    ("GRBG", "bilinear"): cv2.COLOR_BayerGB2RGB,
    ("GRBG", "edge-aware"): cv2.COLOR_BayerGB2RGB_EA,
}


def expose(
    rgb: np.ndarray,
    *,
    read_noise: float,
    shot_noise: float,
    rng: np.random.Generator,
    pattern: Literal["RGGB", "GRBG"] = "RGGB",
    demosaicing: Literal["bilinear", "edge-aware"] = "bilinear",
) -> np.ndarray:
    """What a sensor with a colour filter array would have made of the scene `rgb`.

    One colour per pixel is kept, noise of variance read_noise**2 + shot_noise * level is added (grey levels), and the
    missing colours are interpolated.
    """
    mosaic = np.empty(rgb.shape[:2], np.float32)
    for row in (0, 1):
        for column in (0, 1):
            mosaic[row::2, column::2] = rgb[row::2, column::2, "RGB".index(pattern[2 * row + column])]
    deviation = np.sqrt(np.float32(read_noise**2) + np.float32(shot_noise) * mosaic)
    mosaic += deviation * rng.standard_normal(mosaic.shape, dtype=np.float32)
    raw = np.clip(np.rint(mosaic), 0, 255).astype(np.uint8)
    return cv2.cvtColor(raw, _BAYER[(pattern, demosaicing)])


class _Step(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Table = Annotated[tuple[Annotated[int, Field(ge=1, le=255)], ...], Field(min_length=64, max_length=64)]


class Jpeg(_Step):
    """Save as JPEG and open again; with `tables`, `quality` only tells about how strong they are."""

    op: Literal["jpeg"] = "jpeg"
    quality: int = Field(ge=1, le=100)
    subsampling: Subsampling = "4:2:0"
    progressive: bool = False
    offset: tuple[int, int] = (0, 0)
    tables: tuple[Table, Table] | None = None

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        return jpeg_round_trip(
            rgb,
            self.quality,
            subsampling=self.subsampling,
            offset=self.offset,
            progressive=self.progressive,
            tables=self.tables,
        )


class WebP(_Step):
    """Save as lossy WebP and open again."""

    op: Literal["webp"] = "webp"
    quality: int = Field(ge=0, le=100)

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        return decode(encode_webp(rgb, self.quality))


class Resize(_Step):
    """Resample to width x height."""

    op: Literal["resize"] = "resize"
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    method: Interpolation = "bicubic"

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        return resize(rgb, self.width, self.height, self.method)


class Crop(_Step):
    """Cut out a box (xyxy); a corner that is not a multiple of 8 breaks the JPEG grid."""

    op: Literal["crop"] = "crop"
    box_xyxy: tuple[int, int, int, int]

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        x0, y0, x1, y1 = self.box_xyxy
        return np.ascontiguousarray(rgb[y0:y1, x0:x1])


class Turn(_Step):
    """Quarter turns anticlockwise, after mirroring left-right if asked."""

    op: Literal["turn"] = "turn"
    quarters: int = Field(ge=0, le=3)
    mirror: bool = False

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.rot90(rgb[:, ::-1] if self.mirror else rgb, self.quarters))


class Noise(_Step):
    """White Gaussian noise, see `add_noise`."""

    op: Literal["noise"] = "noise"
    sigma: float = Field(ge=0)
    seed: int

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        return add_noise(rgb, self.sigma, np.random.default_rng(self.seed))


class Sensor(_Step):
    """A camera's sensor, see `expose`."""

    op: Literal["sensor"] = "sensor"
    read_noise: float = Field(ge=0)
    shot_noise: float = Field(ge=0)
    pattern: Literal["RGGB", "GRBG"] = "RGGB"
    demosaicing: Literal["bilinear", "edge-aware"] = "bilinear"
    seed: int

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        return expose(
            rgb,
            read_noise=self.read_noise,
            shot_noise=self.shot_noise,
            rng=np.random.default_rng(self.seed),
            pattern=self.pattern,
            demosaicing=self.demosaicing,
        )


class Blur(_Step):
    """Gaussian blur of `sigma` pixels."""

    op: Literal["blur"] = "blur"
    sigma: float = Field(gt=0)

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(rgb, (0, 0), self.sigma)


class Median(_Step):
    """Median filter with a square window of odd side `window`."""

    op: Literal["median"] = "median"
    window: Literal[3, 5, 7] = 3

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        return cv2.medianBlur(rgb, self.window)


class Sharpen(_Step):
    """Unsharp masking, see `unsharp`."""

    op: Literal["sharpen"] = "sharpen"
    amount: float
    sigma: float = Field(default=1.0, gt=0)

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        return unsharp(rgb, self.amount, self.sigma)


class Tone(_Step):
    """Gamma, contrast, brightness and saturation of the whole picture."""

    op: Literal["tone"] = "tone"
    contrast: float = 1.0
    brightness: float = 0.0
    gamma: float = Field(default=1.0, gt=0)
    saturation: float = 1.0

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        toned = tone(rgb, contrast=self.contrast, brightness=self.brightness, gamma=self.gamma)
        return toned if self.saturation == 1.0 else saturate(toned, self.saturation)


Step = Annotated[
    Jpeg | WebP | Resize | Crop | Turn | Noise | Sensor | Blur | Median | Sharpen | Tone, Field(discriminator="op")
]
_chain_adapter: TypeAdapter[list[Step]] = TypeAdapter(list[Step])


def chain_to_json(steps: Sequence[Step]) -> list[dict]:
    """JSON-ready list without fields that are None; `chain_from_json` is its inverse."""
    return _chain_adapter.dump_python(list(steps), mode="json", exclude_none=True)


def chain_from_json(value: list[dict]) -> list[Step]:
    """Raises pydantic.ValidationError for an unknown step or field."""
    return _chain_adapter.validate_python(value)


@dataclass(frozen=True, eq=False)
class Finished:
    """A picture at the end of its chain.

    Attributes:
        rgb: uint8 HxWx3, exactly what decoding the file gives.
        masks: the bool masks that were carried along, each HxW of `rgb`.
        encoded: bytes of the file when the last step was a codec, else None (the picture is then stored losslessly).
        format: "JPEG", "WEBP" or "PNG".
    """

    rgb: np.ndarray
    masks: tuple[np.ndarray, ...]
    encoded: bytes | None
    format: str

    def file_bytes(self) -> bytes:
        """The file; PNG is encoded only when somebody asks."""
        return self.encoded if self.encoded is not None else encode_png(self.rgb)


def _carry_mask(mask: np.ndarray, step: Step) -> np.ndarray:
    """The same geometry for a mask; a shrunk pixel counts as forged when at least half of it was."""
    if isinstance(step, Resize):
        shrinks = step.width * step.height < mask.size
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return cv2.resize(mask.astype(np.float32), (step.width, step.height), interpolation=method) >= 0.5
    if isinstance(step, (Crop, Turn)):
        return step.apply(mask)
    return mask


def finish(rgb: np.ndarray, masks: Sequence[np.ndarray], steps: Sequence[Step]) -> Finished:
    """Runs a chain on a picture and takes its masks (bool HxW) through the geometric steps."""
    carried = list(masks)
    encoded: bytes | None = None
    file_format = "PNG"
    for step in steps:
        encoded, file_format = None, "PNG"
        if isinstance(step, Jpeg) and step.offset == (0, 0):
            encoded = encode_jpeg(
                rgb,
                step.quality,
                subsampling=step.subsampling,
                progressive=step.progressive,
                tables=step.tables,
            )
            rgb, file_format = decode(encoded), "JPEG"
        elif isinstance(step, WebP):
            encoded = encode_webp(rgb, step.quality)
            rgb, file_format = decode(encoded), "WEBP"
        else:
            rgb = step.apply(rgb)
            carried = [_carry_mask(mask, step) for mask in carried]
    return Finished(rgb=rgb, masks=tuple(carried), encoded=encoded, format=file_format)


def apply_steps(rgb: np.ndarray, steps: Sequence[Step]) -> np.ndarray:
    """The pixels alone."""
    for step in steps:
        rgb = step.apply(rgb)
    return rgb
