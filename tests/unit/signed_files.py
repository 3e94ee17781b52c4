"""Pictures with Content Credentials, really signed by a certificate authority that exists only while the tests run."""

from __future__ import annotations

import datetime
import functools
import io
import json

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

MIME = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "TIFF": "image/tiff", "AVIF": "image/avif"}
_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def _certificate(subject, issuer, public_key, signing_key, issuer_key, *, is_authority):
    now = datetime.datetime.now(datetime.timezone.utc)

    def name(common_name):
        organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test Press")
        return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])

    usage = {
        "digital_signature": not is_authority,
        "key_cert_sign": is_authority,
        "crl_sign": is_authority,
        **dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False),
        **dict.fromkeys(("encipher_only", "decipher_only"), False),
    }
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )
    if not is_authority:
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(usages, critical=False)
    return builder.sign(signing_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@functools.cache
def authority():
    """(PEM of the authority's certificate, PEM chain of the signer, PEM key of the signer)."""
    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_pem = _certificate("Test Root", "Test Root", root.public_key(), root, root.public_key(), is_authority=True)
    leaf_pem = _certificate("Test Camera", "Test Root", leaf.public_key(), root, root.public_key(), is_authority=False)
    key = leaf.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return root_pem.decode(), leaf_pem + root_pem, key


def sign(picture, format_name, *, source_type="digitalCapture", parent=None, remote_url=None, embed=True):
    """The picture with Content Credentials.

    Args:
        source_type: IPTC name of how it came about, for a new picture.
        parent: bytes of a JPEG it was made from; its manifest, if it has one, becomes an ingredient.
        remote_url: written into the file as the place of the manifest.
        embed: False leaves the manifest out of the file.
    """
    first = {"action": "c2pa.created", "digitalSourceType": _TYPES + source_type}
    first |= {"softwareAgent": {"name": "Test Program", "version": "2"}, "when": "2024-05-01T10:00:00Z"}
    definition = {"claim_generator_info": [{"name": "Test Writer", "version": "1.5"}], "title": "a picture"}
    if parent is None:
        definition["assertions"] = [{"label": "c2pa.actions.v2", "data": {"actions": [first]}}]
    context = c2pa.Context.from_dict({"verify": {"verify_after_sign": False, "remote_manifest_fetch": False}})
    builder = c2pa.Builder(definition, context=context)
    if parent is not None:
        builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
        ingredient = json.dumps({"title": "before.jpg", "relationship": "parentOf"})
        builder.add_ingredient(ingredient, "image/jpeg", io.BytesIO(parent))
    if remote_url is not None:
        builder.set_remote_url(remote_url)
    if not embed:
        builder.set_no_embed()
    _, chain, key = authority()
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", chain, key, None))
    signed = io.BytesIO()
    builder.sign(signer, MIME[format_name], io.BytesIO(picture), signed)
    return signed.getvalue()
