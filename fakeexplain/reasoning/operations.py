"""Operations in words, and which of them a trace can be said to fit: shared by writing and checking.

Left out: what was done to a picture. Nothing measured tells that; a trace fits some operations and not others.
"""

from __future__ import annotations

# Words of operations: how an answer says it (predicate of "content that ..."), and the family it belongs to.
OPERATION_PHRASES: dict[str, tuple[str, ...]] = {
    "splice": ("was pasted in from another picture", "came from another photograph"),
    "copy_move": ("was copied within the picture", "was cloned from another place of this picture"),
    "removal_diffusion": ("was filled in from its border", "was painted over from its surroundings"),
    "removal_exemplar": ("was filled in with patches of the surroundings", "was covered with nearby texture"),
    "removal_patchmatch": ("was closed by a content-aware fill", "was put together from small patches nearby"),
    "resample": ("was resampled in place", "was rescaled a little in place"),
    "blur": ("was blurred", "was softened by a blur"),
    "median": ("was smoothed by a median filter", "went through a median filter"),
    "denoise": ("was denoised", "went through a noise filter"),
    "sharpen": ("was sharpened", "went through a sharpening filter"),
    "tone": ("was changed in tone", "was given another contrast or brightness"),
    "noise": ("had noise added", "was given extra noise"),
    "jpeg_ghost": ("was saved as JPEG on its own", "went through a JPEG save of its own"),
    "foreign_grid": ("was saved on a JPEG grid of its own", "carries a JPEG grid of its own"),
}
_FILLED = ("removal_diffusion", "removal_exemplar", "removal_patchmatch")
_SMOOTHED = ("blur", "median", "denoise")
# Which operations a trace can be said to fit; anything else is not claimed.
TRACE_OPERATIONS: dict[str, frozenset[str]] = {
    "noise_low": frozenset({"splice", *_FILLED, *_SMOOTHED, "resample", "jpeg_ghost"}),
    "noise_high": frozenset({"splice", "sharpen", "noise", "tone"}),
    "foreign_grid": frozenset({"splice", "foreign_grid", "copy_move"}),
    "missing_grid": frozenset({"splice", *_FILLED, *_SMOOTHED, "noise", "resample", "copy_move"}),
    "missing_double_quantisation": frozenset(
        {"splice", *_FILLED, *_SMOOTHED, "copy_move", "resample", "noise", "sharpen", "tone"}
    ),
    "duplicate_region": frozenset({"copy_move"}),
}
