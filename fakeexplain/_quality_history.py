"""What happened to a picture as a whole before it arrived: rescaling, and traces of services and screenshots.

Rescaling is told in two ways, both on profiles of the whole picture: interpolated samples repeat their weights
periodically, which the second derivative shows (Gallagher, "Detection of linear and cubic interpolation in JPEG
compressed images", CRV 2005; Mahdian and Saic, "Blind authentication using periodic properties of interpolation", IEEE
TIFS 2008); and the 8-pixel blocks of an earlier JPEG save come out with another period. Rows and columns must agree.
Traces of services and screenshots are sizes and headers: "consistent with", never proof. All of this is neutral, for
sharing a picture does it. Left out: rotation, factors whose period falls on a multiple of 1/8 (2, 8/5, ...), drift of
the blocks of a picture that was saved as JPEG again, and which service it was.
"""

from __future__ import annotations

import struct

import numpy as np

from fakeexplain.imaging.source import SourceImage

# Sum of the powers of row and column profile at one frequency, in units of their local mean; counted on photographs.
INTERPOLATION_LIMIT = 40.0
PERIOD_LIMIT = 60.0  # sum over the first three harmonics of both profiles
MIN_PROFILE = 192  # samples; shorter profiles do not separate frequencies
MAX_SLOPE = 24.0  # grey levels; the scene's own edges must not drown block edges
# Slow drift of blocks of nearly 8 pixels: least power of both halves against noise, least agreement of their phases
# (of 1) with a drift, and the largest agreement without one.
DRIFT_STRENGTH, DRIFT_AGREEMENT, STILL_AGREEMENT = 4.0, 0.7, 0.5
PERIODS = np.geomspace(5.0, 16.0, 2400)  # pixels
# Long sides to which services and messengers are known to shrink pictures.
SERVICE_SIDES = frozenset({720, 960, 1080, 1200, 1280, 1350, 1440, 1600, 2048, 2560, 4096})
SERVICE_QUALITIES = range(60, 93)
SCREENS = frozenset(
    {
        *((640, 1136), (750, 1334), (828, 1792), (1080, 1920), (1080, 2160), (1080, 2220), (1080, 2280), (1080, 2316)),
        *((1080, 2340), (1080, 2376), (1080, 2400), (1080, 2408), (1080, 2412), (1125, 2436), (1170, 2532)),
        *((1179, 2556), (1206, 2622), (1220, 2712), (1242, 2208), (1242, 2688), (1284, 2778), (1290, 2796)),
        *((1320, 2868), (1344, 2992), (1440, 2560), (1440, 2960), (1440, 3040), (1440, 3088), (1440, 3120)),
        *((1440, 3200), (720, 1280), (720, 1520), (720, 1600), (1536, 2048), (1620, 2160), (1640, 2360), (1668, 2224)),
        *((1668, 2388), (2048, 2732), (768, 1366), (800, 1280), (864, 1536), (900, 1440), (900, 1600), (1050, 1680)),
        *((1200, 1920), (1600, 2560), (1664, 2560), (1800, 2880), (1964, 3024), (2234, 3456), (2160, 3840)),
        *((1440, 3440), (1080, 2560), (1692, 3008)),
    }
)
BAR_SHARE = 0.12  # of the height in which a status or title bar lies
MIN_BAR_ROWS = 12


def rescaling(luma: np.ndarray, *, own_grid: bool) -> dict[str, float]:
    """How strongly a picture looks rescaled as a whole; about 15 ms per megapixel.

    Args:
        luma: float32 HxW.
        own_grid: whether the file itself is a JPEG.

    Returns:
        interpolation: strength of the strongest period of the second derivative that both profiles share.
        block_period, block_period_strength: the strongest block period other than 8 pixels, in pixels, and how strong
        it is. block_drift: pixels by which blocks of nearly 8 pixels drift over half the picture, not looked for in a
        JPEG, whose own blocks cover them. All 0 for a picture too small to tell.
    """
    if min(luma.shape) < MIN_PROFILE:
        return dict.fromkeys(("interpolation", "block_period", "block_period_strength", "block_drift"), 0.0)
    size = 1 << int(np.ceil(np.log2(4 * max(luma.shape))))
    curvature, blockiness = [], []
    for plane in (luma, luma.T):
        slope = np.abs(plane[:, 1:] - plane[:, :-1])
        np.minimum(slope, MAX_SLOPE, out=slope)
        ridges = _ridges(slope.mean(axis=0))
        blockiness.append(ridges - ridges.mean())
        bend = np.abs(2 * plane[:, 1:-1] - plane[:, :-2] - plane[:, 2:])
        np.minimum(bend, MAX_SLOPE, out=bend)
        curvature.append(bend.mean(axis=0))
    # Multiples of 1/8 belong to JPEG blocks of the usual size, low frequencies to the scene.
    frequencies = np.arange(size // 2 + 1) / size
    width = 3.0 / min(luma.shape)
    free = np.abs(frequencies * 8 - np.rint(frequencies * 8)) / 8 > width
    power = np.sum([_power(_without_grid(p), size) for p in curvature], axis=0)
    interpolation = float(np.where(free & (frequencies > 0.06), power, 0.0).max())
    comb = np.sum([_comb(np.where(free, _power(_without_grid(p), size), 0.0), size) for p in blockiness], axis=0)
    comb[np.abs(1.0 / PERIODS - 1.0 / 8.0) <= width] = 0.0
    best = int(comb.argmax())
    period, strength = float(PERIODS[best]), float(comb[best])
    return {
        "interpolation": round(interpolation, 1),
        "block_period": round(period, 3),
        "block_period_strength": round(strength, 1),
        "block_drift": 0.0 if own_grid else round(_drift(blockiness), 2),
    }


def _drift(profiles: list[np.ndarray]) -> float:
    """Pixels by which blocks of nearly 8 pixels drift from the first half of the profiles to the second; 0 for none.

    Each half's phase at the harmonics of 1/8 tells where its blocks begin, the shorter profile's drift being in
    proportion. The first harmonic is left out, for `_ridges` all but removes it. Faint blocks give no drift.
    """
    longest = max(p.size for p in profiles)
    drifts = np.linspace(-3.0, 3.0, 121)  # of the longer profile
    value, total, strengths = np.zeros(drifts.size), 0.0, []
    for profile in profiles:
        half = profile.size // 16 * 8
        limit = 4 * np.median(np.abs(profile)) + 1e-6
        x = np.arange(half)
        parts = [np.clip(part, -limit, limit) for part in (profile[:half], profile[half : 2 * half])]
        # Noise alone gives a half a power of its variance times its length.
        noise = float(np.prod([(p**2).sum() for p in parts])) ** 0.5 + 1e-12
        powers = []
        for harmonic in (2, 3):
            first, second = (complex((p * np.exp(-2j * np.pi * harmonic * x / 8)).sum()) for p in parts)
            shift = 2 * np.pi * harmonic * drifts * (profile.size / longest) / 8
            value += (first.conjugate() * second * np.exp(1j * shift)).real
            total += abs(first) * abs(second)
            powers.append(abs(first) * abs(second) / noise)
        strengths.append(max(powers))
    if max(strengths) < DRIFT_STRENGTH or sum(strengths) < 1.5 * DRIFT_STRENGTH:
        return 0.0
    best, still = int(value.argmax()), value[drifts.size // 2]
    clear = value[best] > DRIFT_AGREEMENT * total and still < STILL_AGREEMENT * total
    return float(drifts[best]) if clear else 0.0


def _ridges(profile: np.ndarray) -> np.ndarray:
    """How far each sample stands above its two neighbours, either way."""
    return profile[1:-1] - 0.5 * (profile[:-2] + profile[2:])


def _without_grid(profile: np.ndarray) -> np.ndarray:
    """The profile without what repeats every 8 samples."""
    means = np.array([profile[i::8].mean() for i in range(8)])
    return np.asarray(profile - np.resize(means, profile.size))


def _power(profile: np.ndarray, size: int) -> np.ndarray:
    """Power at size // 2 + 1 frequencies, in units of its local mean as the median tells it (about 1 for noise)."""
    limit = 4 * np.median(np.abs(profile)) + 1e-6
    spectrum = np.abs(np.fft.rfft(np.clip(profile, -limit, limit) * np.hanning(profile.size), size)) ** 2
    step = size // 64
    blocks = spectrum[: size // 2].reshape(-1, step)
    level = np.median(blocks, axis=1) / np.log(2.0) + 1e-12
    local = np.interp(np.arange(spectrum.size), (np.arange(len(blocks)) + 0.5) * step, level)
    return np.asarray(spectrum / local)


def _comb(power: np.ndarray, size: int) -> np.ndarray:
    """Sum of the first three harmonics of each of PERIODS."""
    total = np.zeros(PERIODS.size)
    for harmonic in (1, 2, 3):
        at = np.rint(harmonic * size / PERIODS).astype(int)
        total += np.where(at < size // 2, np.minimum(power[np.minimum(at, size // 2)], 3 * PERIOD_LIMIT), 0.0)
    return total


def is_rescaled(figures: dict[str, float]) -> bool:
    """Whether the figures of `rescaling` pass a limit."""
    other_blocks = figures["block_period_strength"] > PERIOD_LIMIT or figures["block_drift"] != 0.0
    return figures["interpolation"] > INTERPOLATION_LIMIT or other_blocks


def has_camera_data(exif: bytes | None) -> bool:
    """Whether the first directory of an EXIF block (TIFF structure) names a camera maker or model."""
    if exif is None or len(exif) < 10 or exif[:2] not in (b"II", b"MM"):
        return False
    order = "<" if exif[:2] == b"II" else ">"
    (at,) = struct.unpack(order + "I", exif[4:8])
    if at + 2 > len(exif):
        return False
    (count,) = struct.unpack(order + "H", exif[at : at + 2])
    tags = (exif[at + 2 + 12 * i : at + 4 + 12 * i] for i in range(min(count, 512)))
    return any(len(t) == 2 and struct.unpack(order + "H", t)[0] in (0x010F, 0x0110) for t in tags)


def looks_passed_on(source: SourceImage) -> bool:
    """Size, tables and missing camera data as services and messengers leave them."""
    jpeg = source.jpeg
    if jpeg is None or has_camera_data(source.exif) or max(source.width, source.height) not in SERVICE_SIDES:
        return False
    return jpeg.progressive or (jpeg.quality_exact and jpeg.quality in SERVICE_QUALITIES)


def screenshot_signs(source: SourceImage) -> tuple[str, ...]:
    """Signs of a screenshot, as clauses; two of them make the trace, or a program's own word for it."""
    if has_camera_data(source.exif):
        return ()
    signs = []
    if any(b"creenshot" in block for block in (source.exif, source.xmp) if block):
        signs.append("the file calls itself a screenshot")
    if tuple(sorted((source.width, source.height))) in SCREENS:
        signs.append("it has the size of a screen")
    if source.format in ("PNG", "WEBP") and _has_bar(source.rgb):
        signs.append("a strip along its edge is drawn like a status or title bar")
    return tuple(signs)


def looks_like_screenshot(signs: tuple[str, ...]) -> bool:
    return len(signs) >= 2 or any("calls itself" in s for s in signs)


def _has_bar(rgb: np.ndarray) -> bool:
    """Rows at the top or bottom in which one colour rules exactly, but something small is drawn as well."""
    reach = max(MIN_BAR_ROWS, int(BAR_SHARE * rgb.shape[0]))
    for rows in (rgb[:reach], rgb[-reach:]):
        like_left = rows[:, 1:] == rows[:, :-1]
        plain = (like_left[..., 0] & like_left[..., 1] & like_left[..., 2]).mean(axis=1)
        ruled = plain > 0.8
        if ruled.sum() >= MIN_BAR_ROWS and (plain[ruled] < 1.0).sum() >= MIN_BAR_ROWS // 3:
            return True
    return False
