"""Facts about the history of a file, worded for `metadata`: credentials, generators, editing steps, maker note, order.

Each function turns one part of a `Provenance` into facts; nothing is parsed here and nothing judged. A valid manifest
is worded as a fact about history, never as a proof that the picture is true.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fakeexplain.imaging.jpeg import JpegFacts
from fakeexplain.provenance.blocks import MetadataBlocks
from fakeexplain.provenance.c2pa import GENERATIVE_TYPES, Credentials
from fakeexplain.provenance.container import order_remarks, segment_names
from fakeexplain.provenance.maker_notes import WRITERS
from fakeexplain.records import Region, Scalar

_HISTORY_ONLY = "this tells of the file's history and does not show that the picture is true"


@dataclass(frozen=True)
class Fact:
    """The parts of an `Evidence` of kind `fact` that differ from fact to fact; see there."""

    trace: str
    quantity: str
    value: Scalar = None
    unit: str = ""
    reference: Scalar = None
    reference_text: str = ""
    region: Region | None = None
    limits: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


def credentials_facts(credentials: Credentials) -> list[Fact]:
    """One fact on the state of the Content Credentials and one on a generative model they name; none when absent."""
    details = credentials.details()
    by = f"signed by {credentials.signer or credentials.issuer or 'a signer without a name'}"
    if credentials.issuer and credentials.signer and credentials.issuer != credentials.signer:
        by += f" of {credentials.issuer}"
    if credentials.signed_at:
        by += f" at {credentials.signed_at}"
    if credentials.state == "absent":
        return []
    if credentials.state == "unreadable":
        return [
            Fact(
                "content_credentials_unreadable",
                "Content Credentials (C2PA) that could not be read",
                reference_text=credentials.reason,
                details=details,
            )
        ]
    if credentials.state == "invalid":
        facts = [
            Fact(
                "content_credentials_invalid",
                "Content Credentials (C2PA) that do not hold",
                value=credentials.reason,
                reference_text=by if credentials.manifests else "nothing more could be read from them",
                limits=(
                    "a program that saved the picture again and left the old credentials in it",
                    "credentials copied from another file",
                    "a damaged file",
                ),
                details=details,
            )
        ]
    elif credentials.state == "trusted":
        facts = [
            Fact(
                "content_credentials_trusted",
                "valid Content Credentials (C2PA)",
                value=by,
                reference_text=f"the signer is among those you trust; {_HISTORY_ONLY}",
                details=details,
            )
        ]
    else:
        facts = [
            Fact(
                "content_credentials_unknown_signer",
                "valid Content Credentials (C2PA)",
                value=by,
                reference_text=f"the signer is not among those you trust, and anybody can sign; {_HISTORY_ONLY}",
                details=details,
            )
        ]
    generative = credentials.generative()
    if generative:
        first = generative[0]
        where = "its own entry" if first.manifest == 1 else "the entry of an earlier version"
        holds = "which do not hold" if credentials.state == "invalid" else "which are valid"
        facts.append(
            Fact(
                "content_credentials_generative",
                "a generative model named in the Content Credentials",
                value=GENERATIVE_TYPES[first.source_type],
                reference_text=f"{where} in the credentials, {holds}; program: {first.program or 'not named'}",
                limits=("an entry that its writer made by mistake",),
                details={
                    "entries": [
                        {"says": GENERATIVE_TYPES[a.source_type], "program": a.program, "manifest": a.manifest}
                        for a in generative[:20]
                    ]
                },
            )
        )
    return facts


def generator_facts(generators: list[dict[str, Any]], traces: list[list[str]]) -> list[Fact]:
    """One fact for text that image generators leave: prompts with their settings, or their names (`traces`)."""
    if not generators and not traces:
        return []
    if generators:
        first = generators[0]
        value = first.get("prompt") or first["generator"]
        text = f"written by {first['generator']}, found in {first['where']}"
    else:
        value, text = traces[0][1], f"found in {traces[0][0]}"
    return [
        Fact(
            "generator_text",
            "text that image generators leave in their files",
            value=value,
            reference_text=text,
            limits=("text copied from another file", "a generator used for a small retouch only"),
            details={"generators": generators, "traces": traces[:10]},
        )
    ]


def history_facts(blocks: MetadataBlocks) -> list[Fact]:
    """Editing steps and local edits that the XMP packet lists, and what the Photoshop blocks say."""
    facts = []
    steps = [s for s in blocks.xmp_steps if "action" in s]
    actions = [s["action"] for s in steps] or blocks.xmp.get("action", [])
    if actions:
        facts.append(
            Fact(
                "edit_history",
                "steps in the editing history (XMP)",
                value=len(actions),
                reference_text="steps are named by kind (opened, converted, saved), not by what was changed",
                limits=("plain conversion and saving",),
                details={
                    "actions": actions[:30],
                    "when": blocks.xmp.get("when", [])[:30],
                    "programs": list(dict.fromkeys(blocks.xmp.get("softwareAgent", [])))[:10],
                    "steps": steps[:30],
                },
            )
        )
    if blocks.xmp_lists:
        parts = ", ".join(f"{words}: {number}" for words, number in blocks.xmp_lists.items())
        facts.append(
            Fact(
                "local_edits_listed",
                "local edits and parts that the file lists itself (XMP)",
                value=parts,
                reference_text="as raw developers and Photoshop store them; applied when the picture was saved",
                limits=("settings or a document taken over from another picture", "dust removal"),
                details={"lists": blocks.xmp_lists, "text_layers": blocks.xmp.get("LayerText", [])[:20]},
            )
        )
    changed = blocks.photoshop.get("iptc_unchanged") is False
    if changed:
        facts.append(
            Fact(
                "iptc_changed",
                "caption block (IPTC) that no longer fits the digest Photoshop stored for it",
                value=True,
                reference_text="captions were written by another program after Photoshop had saved the picture",
                limits=("captioning by a press agency or a picture archive",),
            )
        )
    return facts


def maker_note_facts(blocks: MetadataBlocks) -> list[Fact]:
    """A maker note that was moved, broken or left out; none for one that is sound or of a maker not in our list."""
    note, make = blocks.maker_note, str(blocks.exif.get("Make", ""))
    if note is None or not make:
        return []
    if note.state == "moved":
        words = f"its addresses miss it by {abs(note.displacement)} bytes: a program rewrote the block around it"
    elif note.state == "broken":
        words = "its directory cannot be read"
    elif note.state == "absent" and make.lower().startswith(WRITERS) and "ExposureTime" in blocks.exif:
        words = "there is none, though cameras of this make write one"
    else:
        return []
    return [
        Fact(
            "maker_note",
            f"private block of the camera maker (maker note) is {note.state}",
            value=make,
            reference_text=words,
            limits=("any program that saves pictures again, also without changing them", "raw developers"),
            details=note.details(),
        )
    ]


def order_facts(jpeg: JpegFacts | None) -> list[Fact]:
    """The order of segments of a JPEG where cameras write another one."""
    names = segment_names(jpeg.segments) if jpeg is not None else []
    remarks = order_remarks(names)
    if not remarks:
        return []
    return [
        Fact(
            "segment_order",
            "order of the file's segments",
            value=remarks[0],
            reference_text="cameras write one Exif segment, as the first",
            limits=("any program that saves pictures again, also without changing them", "some phones and scanners"),
            details={"remarks": remarks, "order": names[:60]},
        )
    ]
