"""Content Credentials (C2PA): who signed what the file says about its history, and whether that still fits the picture.

Five states are kept apart: absent, invalid (with what broke), valid with an unknown signer, valid and trusted,
unreadable. A valid manifest is a fact about the file's history, never a proof that a picture is true; an invalid one is
what any program leaves that saves a signed picture again.

Reading is offline: fetching remote manifests and revocation lists is switched off, and every host is forbidden on top
of that. Nobody is trusted but the certificates the user supplies. Left out on purpose: signing, trust lists of our own,
and any judgement. The library is native code: it is loaded only for files that carry a mark of Content Credentials, and
a guarded worker (`imaging.worker`) is the place to run it on files that may be hostile.

Specification: C2PA 2.x, https://spec.c2pa.org (validation codes in section 15, actions in 18).
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from fakeexplain.errors import SettingsError
from fakeexplain.provenance.text import clean_text

State = Literal["absent", "invalid", "unknown_signer", "trusted", "unreadable"]
Part = Literal["picture", "manifest", "signature", "ingredient"]

_MIME = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "TIFF": "image/tiff",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "HEIF": "image/heif",
    "AVIF": "image/avif",
}
_MAX_ACTIONS, _MAX_INGREDIENTS, _MAX_PROBLEMS = 60, 20, 20
_MAX_THUMBNAIL = 2 << 20  # bytes
# digitalSourceType (IPTC NewsCodes, C2PA) -> what it says, for the types that name a generative model.
GENERATIVE_TYPES = {
    "trainedAlgorithmicMedia": "made by a generative model",
    "trainedAlgorithmicData": "made by a generative model",
    "compositeWithTrainedAlgorithmicMedia": "a part was made by a generative model",
    "compositeSynthetic": "composed of parts of which at least one is synthetic",
}
PART_WORDS: dict[Part, str] = {
    "picture": "the picture is not the one that was signed (hash mismatch)",
    "manifest": "the record itself was changed or is damaged",
    "signature": "the signature does not hold",
    "ingredient": "the record of an earlier version does not hold",
}


@dataclass(frozen=True)
class Action:
    """One step that a manifest lists; `manifest` 1 is the file's own, higher numbers are those of earlier versions."""

    action: str
    when: str = ""
    program: str = ""
    source_type: str = ""
    manifest: int = 1


@dataclass(frozen=True)
class Ingredient:
    """An earlier version or a part that went into the picture."""

    title: str
    format: str
    relationship: str
    has_credentials: bool
    thumbnail: bytes | None = field(default=None, repr=False)
    thumbnail_format: str = ""


@dataclass(frozen=True)
class Credentials:
    """What a file's Content Credentials say. Strings are cleaned and shortened, but still data out of the file.

    Attributes:
        state: one of the five.
        reason: a clause: what broke, or why they could not be read; "" otherwise.
        broken: the parts that failed, for `invalid`.
        problems: "validation.code: explanation" as the library tells them, without the mere lack of trust.
        issuer, signer, serial, algorithm: organisation, common name and serial number of the signing certificate.
        signed_at: time of signing that the signature carries, "" when it carries none.
        generator: program that wrote the manifest, with its version.
        actions, ingredients: see there; of the file's own manifest and, for actions, of those it builds on.
        assertions: labels of all statements of the file's own manifest.
        manifests: how many manifests the file holds.
        thumbnail: the preview stored when it was signed, encoded as `thumbnail_format` says.
    """

    state: State
    reason: str = ""
    broken: tuple[Part, ...] = ()
    problems: tuple[str, ...] = ()
    issuer: str = ""
    signer: str = ""
    serial: str = ""
    algorithm: str = ""
    signed_at: str = ""
    generator: str = ""
    actions: tuple[Action, ...] = ()
    ingredients: tuple[Ingredient, ...] = ()
    assertions: tuple[str, ...] = ()
    manifests: int = 0
    thumbnail: bytes | None = field(default=None, repr=False)
    thumbnail_format: str = ""

    def generative(self) -> list[Action]:
        """The actions that say that a generative model made the picture or a part of it, or an earlier version."""
        return [a for a in self.actions if a.source_type in GENERATIVE_TYPES]

    def details(self) -> dict[str, Any]:
        """Everything as JSON values; thumbnails by format, size and hash (their bytes are in this record)."""
        found: dict[str, Any] = {
            "state": self.state,
            "reason": self.reason,
            "broken": list(self.broken),
            "problems": list(self.problems),
            "issuer": self.issuer,
            "signer": self.signer,
            "certificate_serial": self.serial,
            "algorithm": self.algorithm,
            "signed_at": self.signed_at,
            "written_by": self.generator,
            "actions": [
                {
                    "action": a.action,
                    "when": a.when,
                    "program": a.program,
                    "source_type": a.source_type,
                    "manifest": a.manifest,
                }
                for a in self.actions
            ],
            "ingredients": [
                {
                    "title": i.title,
                    "format": i.format,
                    "relationship": i.relationship,
                    "has_credentials": i.has_credentials,
                    "thumbnail": _thumbnail_details(i.thumbnail, i.thumbnail_format),
                }
                for i in self.ingredients
            ],
            "assertions": list(self.assertions),
            "manifests": self.manifests,
            "thumbnail": _thumbnail_details(self.thumbnail, self.thumbnail_format),
        }
        return {k: v for k, v in found.items() if v not in ("", [], None, 0)}


def _thumbnail_details(data: bytes | None, format_name: str) -> dict[str, Any] | None:
    if data is None:
        return None
    return {"format": format_name, "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def read_credentials(data: bytes, format_name: str, *, trust_anchors: str = "", remote_url: str = "") -> Credentials:
    """Reads and validates the Content Credentials of a file, without any network. Never raises on a file.

    Args:
        data: the whole file.
        format_name: "JPEG", "PNG", ... as in `SourceImage.format`.
        trust_anchors: certificates to trust, PEM, any number; "" trusts nobody.
        remote_url: where the file's XMP says its manifest lies; only its presence matters, it is not fetched.

    Raises:
        SettingsError: the trust anchors are no PEM certificates.
    """
    if format_name not in _MIME or not (remote_url or b"jumb" in data or b"c2pa" in data):
        return Credentials("absent")
    try:
        import c2pa
    except Exception as error:  # a missing wheel, or a shared library that does not load
        return Credentials("unreadable", f"the c2pa library cannot be loaded ({clean_text(error, 120)})")
    context = _context(trust_anchors)
    try:
        reader = c2pa.Reader(_MIME[format_name], io.BytesIO(data), context=context)
    except c2pa.C2paError.ManifestNotFound:
        return Credentials("absent")
    except c2pa.C2paError as error:
        return _refused(error)
    except Exception as error:
        return Credentials("unreadable", f"the c2pa library failed ({clean_text(error, 120)})")
    try:
        with reader:
            return _interpret(json.loads(reader.json()), reader)
    except Exception as error:  # a native error, or JSON of a shape or depth that nobody foresaw
        return Credentials("unreadable", f"the c2pa library's answer cannot be read ({clean_text(error, 120)})")


def check_trust_anchors(trust_anchors: str) -> None:
    """Raises SettingsError unless the text holds PEM certificates, or is empty, or the library is missing."""
    if not trust_anchors:
        return
    try:
        from cryptography import x509  # comes with c2pa, which passes over certificates that it cannot parse
    except ImportError:  # told per file as "unreadable"
        return
    try:
        x509.load_pem_x509_certificates(trust_anchors.encode())
    except ValueError as error:
        raise _bad_anchors(error) from None
    _context(trust_anchors)


def _bad_anchors(error: Exception) -> SettingsError:
    wanted = "wanted a file of certificates in PEM form"
    return SettingsError(f"trust anchors: not readable ({clean_text(error, 120)}); {wanted}")


def _context(trust_anchors: str) -> Any:
    import c2pa

    settings: dict[str, Any] = {
        "verify": {
            "verify_after_reading": True,
            "verify_trust": True,
            "remote_manifest_fetch": False,
            "ocsp_fetch": False,
        },
        "core": {"allowed_network_hosts": [], "max_decompressed_manifest_size_in_mb": 32},
    }
    if trust_anchors:
        settings["trust"] = {"trust_anchors": trust_anchors}
    try:
        return c2pa.Context.from_dict(settings)
    except c2pa.C2paError as error:
        raise _bad_anchors(error) from None


def _refused(error: Exception) -> Credentials:
    """The library gave no manifest: stored elsewhere, of an unsupported kind, or broken beyond parsing."""
    text = clean_text(error)
    if text.startswith("Remote:"):
        return Credentials("unreadable", "they lie on a server, which is never asked", problems=(text,))
    if text.startswith(("NotSupported:", "Io:")):
        return Credentials("unreadable", f"the c2pa library does not read this file ({text})", problems=(text,))
    return Credentials("invalid", PART_WORDS["manifest"], ("manifest",), (text,))


def _interpret(store: dict[str, Any], reader: Any) -> Credentials:
    manifests = store.get("manifests") or {}
    label = store.get("active_manifest")
    active = manifests.get(label) or {}
    failures = [f for f in _failures(store) if f[0] != "signingCredential.untrusted"]
    broken = tuple(dict.fromkeys(_part(code, inherited) for code, _, inherited in failures))
    validation = store.get("validation_state")
    state: State = "trusted" if validation == "Trusted" else "unknown_signer"
    if failures or validation not in ("Valid", "Trusted") or not active:
        state, broken = "invalid", broken or ("manifest",)
    signature = active.get("signature_info") or {}
    ordered = [active, *(m for key, m in manifests.items() if key != label)]
    thumbnail, thumbnail_format = _resource(reader, active.get("thumbnail"))
    return Credentials(
        state=state,
        reason="; ".join(PART_WORDS[p] for p in broken),
        broken=broken,
        problems=tuple(f"{code}: {clean_text(text, 120)}" for code, text, _ in failures[:_MAX_PROBLEMS]),
        issuer=clean_text(signature.get("issuer") or ""),
        signer=clean_text(signature.get("common_name") or ""),
        serial=clean_text(signature.get("cert_serial_number") or ""),
        algorithm=clean_text(signature.get("alg") or ""),
        signed_at=clean_text(signature.get("time") or ""),
        generator=_program(active.get("claim_generator_info")) or clean_text(active.get("claim_generator") or ""),
        actions=tuple(a for number, m in enumerate(ordered, 1) for a in _actions(m, number))[:_MAX_ACTIONS],
        ingredients=tuple(_ingredient(i, reader) for i in (active.get("ingredients") or [])[:_MAX_INGREDIENTS]),
        assertions=tuple(clean_text(a.get("label"), 80) for a in (active.get("assertions") or [])[:60]),
        manifests=len(manifests),
        thumbnail=thumbnail,
        thumbnail_format=thumbnail_format,
    )


def _failures(store: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """(code, explanation, whether it concerns an earlier version) of each failed check."""
    results = store.get("validation_results") or {}
    found = [(f, False) for f in (results.get("activeManifest") or {}).get("failure") or []]
    for delta in results.get("ingredientDeltas") or []:
        found += [(f, True) for f in (delta.get("validationDeltas") or {}).get("failure") or []]
    return [(clean_text(f.get("code"), 80), str(f.get("explanation") or ""), inherited) for f, inherited in found]


def _part(code: str, inherited: bool) -> Part:
    if inherited or code.startswith("ingredient."):
        return "ingredient"
    if code.startswith(("assertion.dataHash", "assertion.bmffHash", "assertion.boxesHash", "assertion.collectionHash")):
        return "picture"
    if code.startswith(("claimSignature", "signingCredential", "timeStamp", "algorithm")):
        return "signature"
    return "manifest"


def _actions(manifest: dict[str, Any], number: int) -> list[Action]:
    found = []
    for assertion in manifest.get("assertions") or []:
        if str(assertion.get("label", "")).startswith("c2pa.actions"):
            found += [_action(a, number) for a in ((assertion.get("data") or {}).get("actions") or [])[:_MAX_ACTIONS]]
    return found


def _action(entry: dict[str, Any], number: int) -> Action:
    return Action(
        action=clean_text(entry.get("action"), 80),
        when=clean_text(entry.get("when") or "", 40),
        program=_program(entry.get("softwareAgent")),
        source_type=clean_text(str(entry.get("digitalSourceType") or "").rpartition("/")[2], 80),
        manifest=number,
    )


def _program(entry: Any) -> str:
    """Name and version of a program, which manifests write as text, as an object or as a list of objects."""
    if isinstance(entry, list):
        entry = entry[0] if entry else None
    if isinstance(entry, dict):
        entry = f"{entry.get('name') or ''} {entry.get('version') or ''}".strip()
    return clean_text(entry) if entry else ""


def _ingredient(entry: dict[str, Any], reader: Any) -> Ingredient:
    thumbnail, thumbnail_format = _resource(reader, entry.get("thumbnail"))
    return Ingredient(
        title=clean_text(entry.get("title") or ""),
        format=clean_text(entry.get("format") or "", 40),
        relationship=clean_text(entry.get("relationship") or "", 40),
        has_credentials=bool(entry.get("active_manifest")),
        thumbnail=thumbnail,
        thumbnail_format=thumbnail_format,
    )


class _Bounded(io.BytesIO):
    """A buffer that refuses to grow beyond what a preview may have."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > _MAX_THUMBNAIL:
            raise OSError("the preview is too large")
        return super().write(data)


def _resource(reader: Any, reference: Any) -> tuple[bytes | None, str]:
    """(bytes, format) of a stored preview; (None, "") when there is none or it cannot be read."""
    if not isinstance(reference, dict) or not reference.get("identifier"):
        return None, ""
    buffer = _Bounded()
    try:
        reader.resource_to_stream(str(reference["identifier"]), buffer)
    except Exception:  # a missing or oversized preview is no fault worth losing the record for
        return None, ""
    return buffer.getvalue(), clean_text(reference.get("format") or "", 40)
