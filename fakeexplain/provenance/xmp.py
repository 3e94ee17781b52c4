"""XMP: the properties that tell of programs, dates and origin, read from a packet that may be hostile.

Left out on purpose: document types and entities (refused unread), the RDF graph (only names and their values are
kept), extended XMP spread over several segments, and any judgement.
"""

from __future__ import annotations

from typing import Any
from xml.parsers import expat

from fakeexplain.provenance.text import MAX_BLOCK, MAX_TEXT, clean_text

_XMP_WANTED = {
    *("CreatorTool", "CreateDate", "ModifyDate", "DateCreated", "Credit", "DigitalSourceType", "DocumentID"),
    *("OriginalDocumentID", "DerivedFrom", "provenance", "softwareAgent", "action", "when", "AISystemUsed"),
}


def parse_xmp(packet: bytes) -> dict[str, list[str]]:
    """The wanted properties of an XMP packet: local name -> cleaned values in document order.

    Raises:
        ValueError: not well-formed, too large, too deep, or with a document type or entities (refused unread).
    """
    if len(packet) > MAX_BLOCK:
        raise ValueError(f"packet of {len(packet)} bytes, at most {MAX_BLOCK} are read")
    found: dict[str, list[str]] = {}
    path: list[str] = []
    texts: list[list[str]] = []

    def refuse(*_: Any) -> None:
        raise ValueError("it declares a document type or entities, which are not read")

    def keep(name: str, value: str) -> None:
        if name in _XMP_WANTED and value.strip() and len(found.setdefault(name, [])) < 100:
            found[name].append(clean_text(value))

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(path) > 64:
            raise ValueError("elements are nested too deeply")
        space, _, local = name.rpartition(" ")
        path.append(path[-1] if space.endswith("22-rdf-syntax-ns#") and path else local)
        texts.append([])
        for key, value in attributes.items():
            keep(key.rpartition(" ")[2], value)

    def end(_: str) -> None:
        keep(path.pop(), "".join(texts.pop())[: 8 * MAX_TEXT])

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
    return found
