"""XMP: the properties that tell of programs, dates, origin and editing steps, read from a packet that may be hostile.

Left out on purpose: document types and entities (refused unread), the RDF graph (names and their values are kept, and
the entries of the editing history one by one), extended XMP spread over several segments, and any judgement.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from fakeexplain.provenance.text import MAX_BLOCK, MAX_TEXT, clean_text

_XMP_WANTED = {
    *("CreatorTool", "CreateDate", "ModifyDate", "DateCreated", "Credit", "DigitalSourceType", "DocumentID"),
    *("OriginalDocumentID", "DerivedFrom", "provenance", "softwareAgent", "action", "when", "AISystemUsed"),
    *("HasCrop", "LayerText", "Instructions"),
}
# Lists in which a raw developer stores local edits, and in which Photoshop stores what went into a document.
_LISTS = {
    "RetouchAreas": "healed or cloned spots",
    "RetouchInfo": "healed or cloned spots",
    "PaintBasedCorrections": "brushed corrections",
    "GradientBasedCorrections": "gradient corrections",
    "CircularGradientBasedCorrections": "radial corrections",
    "MaskGroupBasedCorrections": "masked corrections",
    "RedEyeInfo": "red-eye corrections",
    "DocumentAncestors": "documents that parts were pasted from",
    "TextLayers": "text layers",
    "Ingredients": "linked parts",
}
_STEP_KEYS = ("action", "when", "softwareAgent", "changed", "parameters")
_MAX_STEPS = 100


@dataclass
class XmpFacts:
    """What one packet says.

    Attributes:
        properties: local name -> cleaned values in document order, for the wanted names.
        steps: entries of xmpMM:History in order, each with those of action, when, softwareAgent, changed, parameters
            that it has.
        lists: words for a list of local edits or ingredients -> number of its entries.
    """

    properties: dict[str, list[str]] = field(default_factory=dict)
    steps: list[dict[str, str]] = field(default_factory=list)
    lists: dict[str, int] = field(default_factory=dict)


def parse_xmp(packet: bytes) -> XmpFacts:
    """Reads an XMP packet.

    Raises:
        ValueError: not well-formed, too large, too deep, or with a document type or entities (refused unread).
    """
    if len(packet) > MAX_BLOCK:
        raise ValueError(f"packet of {len(packet)} bytes, at most {MAX_BLOCK} are read")
    facts = XmpFacts()
    counted: Counter[str] = Counter()
    path: list[str] = []  # property names; RDF's own elements repeat that of their parent
    texts: list[list[str]] = []
    step_depth = 0  # of the history entry that is being read, 0 outside one

    def refuse(*_: Any) -> None:
        raise ValueError("it declares a document type or entities, which are not read")

    def keep(name: str, value: str) -> None:
        if not value.strip():
            return
        if name in _XMP_WANTED and len(facts.properties.setdefault(name, [])) < 100:
            facts.properties[name].append(clean_text(value))
        if step_depth and name in _STEP_KEYS:
            facts.steps[-1].setdefault(name, clean_text(value))

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal step_depth
        if len(path) > 64:
            raise ValueError("elements are nested too deeply")
        space, _, local = name.rpartition(" ")
        own = not space.endswith("22-rdf-syntax-ns#")
        path.append(local if own or not path else path[-1])
        texts.append([])
        if local == "li" and not own:
            if path[-1] == "History" and not step_depth and len(facts.steps) < _MAX_STEPS:
                facts.steps.append({})
                step_depth = len(path)
            counted[path[-1]] += path[-1] in _LISTS
        for key, value in attributes.items():
            keep(key.rpartition(" ")[2], value)

    def end(_: str) -> None:
        nonlocal step_depth
        keep(path[-1], "".join(texts.pop())[: 8 * MAX_TEXT])
        if len(path) == step_depth:
            step_depth = 0
        path.pop()

    def characters(data: str) -> None:
        texts[-1].append(data)

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(packet.strip(b"\x00 \r\n\t"), True)
    except expat.ExpatError as error:
        raise ValueError(clean_text(error)) from None
    facts.steps = [s for s in facts.steps if s]
    for name, number in counted.items():
        if number:  # two names may stand for one list (RetouchInfo is the older form of RetouchAreas)
            facts.lists[_LISTS[name]] = max(number, facts.lists.get(_LISTS[name], 0))
    return facts
