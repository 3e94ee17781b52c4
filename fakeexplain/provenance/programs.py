"""Names of programs: where files carry them, and which belong to editors, converters, services and image generators.

Left out on purpose: versions, and any conclusion; a program's name does not say what was done with it.
"""

from __future__ import annotations

import re

from fakeexplain.provenance.blocks import MetadataBlocks

_EDITORS = {
    "a program that can change picture content": (
        "photoshop|gimp|snapseed|picsart|facetune|affinity photo|pixelmator|paint\\.net|paint shop|paintshop|"
        "photo-paint|photoimpact|photoscape|fotor|canva|meitu|pixlr|befunky|photopea|krita|polarr|luminar|topaz|"
        "remini|beautyplus|zoner|photodirector|acdsee|acd systems|inshot|lensa|photoroom"
    ),
    "a raw developer, viewer or converter": (
        "lightroom|camera raw|capture one|dxo|darktable|rawtherapee|picasa|faststone|xnview|irfanview|imagemagick|"
        "gd-jpeg|quicktime|aperture|iphoto|apple photos|google photos|nikon transfer|capture nx|viewnx|"
        "digital photo professional|finepix viewer|windows photo|microsoft photo|photo gallery|exiftool"
    ),
    "a sharing service": "instagram|facebook|fbmd[0-9a-f]{6}|vsco|whatsapp|twitter|flickr|snapchat|tiktok",
}
EDITOR_PATTERNS = {kind: re.compile(rf"\b(?:{names})", re.IGNORECASE) for kind, names in _EDITORS.items()}
GENERATORS = re.compile(
    r"midjourney|dall[-·]e|stable[ -]?diffusion|comfyui|automatic1111|invokeai|novelai|adobe firefly|dreamstudio|"
    r"made with google ai|(?:composite(?:withtrained|synthetic)|trainedalgorithmic)[a-z]*|bing image creator|openai",
    re.IGNORECASE,
)
GENERATOR_CHUNKS = ("parameters", "prompt", "workflow", "dream", "sd-metadata", "invokeai_metadata", "generation_data")


def software_fields(blocks: MetadataBlocks) -> list[tuple[str, str]]:
    """(where, text) of every place in which programs write their name."""
    found = [
        (f"EXIF {n}", str(blocks.exif[n]))
        for n in ("Software", "ProcessingSoftware", "HostComputer")
        if n in blocks.exif
    ]
    for name in ("CreatorTool", "softwareAgent", "DigitalSourceType", "Credit", "AISystemUsed"):
        found += [(f"XMP {name}", text) for text in dict.fromkeys(blocks.xmp.get(name, []))]
    wanted = ("OriginatingProgram", "SpecialInstructions", "TransmissionReference", "Credit")
    found += [(f"IPTC {n}", blocks.iptc[n]) for n in wanted if n in blocks.iptc]
    found += [(name, text) for name, text in blocks.texts.items() if name not in GENERATOR_CHUNKS]
    return found
