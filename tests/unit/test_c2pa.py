"""Content Credentials: each of the five states by a really signed file, what broke, and never a network."""

import io
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import c2pa as library
import numpy as np
import pytest
from PIL import Image

from fakeexplain.errors import SettingsError
from fakeexplain.examiner import Examiner, Settings
from fakeexplain.imaging.source import SourceImage
from fakeexplain.instruments.metadata import Metadata
from fakeexplain.provenance.c2pa import check_trust_anchors, read_credentials
from tests.unit.metadata_files import ASTRONAUT, encode, jpeg
from tests.unit.signed_files import authority, sign

SMALL = ASTRONAUT[:160, :200]


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch):
    """Python's own sockets are closed to all tests of this file but those that open a server themselves."""

    def refuse(*_):
        raise AssertionError("a network connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def signed():
    return {name: sign(encode(name, SMALL), name) for name in ("JPEG", "PNG")}


@pytest.fixture
def trusted():
    return authority()[0]


FORMATS = pytest.mark.parametrize("format_name", ["JPEG", "PNG"])


@FORMATS
def test_absent(format_name):
    assert read_credentials(encode(format_name, SMALL), format_name).state == "absent"


@FORMATS
def test_valid_with_an_unknown_and_with_a_trusted_signer(signed, trusted, format_name):
    unknown = read_credentials(signed[format_name], format_name)
    assert (unknown.state, unknown.broken, unknown.reason) == ("unknown_signer", (), "")
    assert (unknown.issuer, unknown.signer, unknown.algorithm) == ("Test Press", "Test Camera", "Es256")
    assert unknown.generator == "Test Writer 1.5"
    assert unknown.generative() == []
    (action,) = unknown.actions
    assert (action.action, action.when, action.program, action.source_type) == (
        "c2pa.created",
        "2024-05-01T10:00:00Z",
        "Test Program 2",
        "digitalCapture",
    )
    assert unknown.signed_at == ""  # no time stamp: the time of the action is only claimed
    preview = Image.open(io.BytesIO(unknown.thumbnail))
    assert preview.width / preview.height == pytest.approx(200 / 160, rel=0.01)
    assert read_credentials(signed[format_name], format_name, trust_anchors=trusted).state == "trusted"


def test_another_authority_is_not_trusted(signed):
    other = authority.__wrapped__()[0]
    assert read_credentials(signed["JPEG"], "JPEG", trust_anchors=other).state == "unknown_signer"


@FORMATS
def test_changed_picture_is_invalid_because_of_the_picture(signed, trusted, format_name):
    """Pixels are changed as an editor does that copies all other parts of the file."""
    data = signed[format_name]
    other = encode(format_name, 255 - SMALL)
    mark = {"JPEG": b"\xff\xdb", "PNG": b"IDAT"}[format_name]  # the first of the parts that hold the picture
    back = {"JPEG": 0, "PNG": 4}[format_name]
    start = data.index(mark) if format_name == "PNG" else SourceImage.from_bytes(data).jpeg.segments
    if format_name == "JPEG":
        start = next(s.offset for s in start if s.name == "DQT")
    tampered = data[: start - back] + other[other.index(mark) - back :]
    decoded = SourceImage.from_bytes(tampered)
    assert np.abs(decoded.rgb.astype(int) - SMALL).mean() > 30  # really another picture
    found = read_credentials(tampered, format_name, trust_anchors=trusted)
    assert (found.state, found.broken) == ("invalid", ("picture",))
    assert "hash mismatch" in found.reason
    assert found.issuer == "Test Press"


@FORMATS
def test_changed_manifest_is_invalid_because_of_the_manifest(signed, trusted, format_name):
    data = signed[format_name].replace(b"digitalCapture", b"digitalCreator")
    assert data != signed[format_name]
    found = read_credentials(_mend(data, format_name), format_name, trust_anchors=trusted)
    assert (found.state, found.broken) == ("invalid", ("manifest",))
    assert any("hashedURI.mismatch" in p for p in found.problems)


@FORMATS
def test_changed_signature_is_invalid_because_of_the_signature(signed, trusted, format_name):
    data = bytearray(signed[format_name])
    # COSE_Sign1 ends with the signature, a CBOR byte string of 64 bytes after the unprotected header's padding.
    at = data.rindex(b"\xf6\x58\x40", 0, len(data)) + 3
    data[at + 10] ^= 0xFF
    found = read_credentials(_mend(bytes(data), format_name), format_name, trust_anchors=trusted)
    assert (found.state, found.broken) == ("invalid", ("signature",))
    assert any("claimSignature.mismatch" in p for p in found.problems)


def test_manifest_that_does_not_parse_is_invalid(signed):
    data = bytearray(signed["JPEG"])
    at = data.index(b"jumb")
    data[at + 8 : at + 12] = b"XXXX"
    found = read_credentials(bytes(data), "JPEG")
    assert (found.state, found.broken) == ("invalid", ("manifest",))


def _mend(data, format_name):
    """PNG checksums made right again, so that only the credentials are wrong."""
    if format_name != "PNG":
        return data
    import zlib

    out, at = data[:8], 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + length]
        out += data[at : at + 4] + body + zlib.crc32(body).to_bytes(4, "big")
        at += 12 + length
    return out


def test_ingredient_with_its_preview_and_its_manifest(trusted):
    before = sign(jpeg(SMALL), "JPEG", source_type="trainedAlgorithmicMedia")
    after = sign(encode("PNG", SMALL[:100]), "PNG", parent=before)
    found = read_credentials(after, "PNG", trust_anchors=trusted)
    assert (found.state, found.manifests) == ("trusted", 2)
    (ingredient,) = found.ingredients
    assert (ingredient.title, ingredient.relationship, ingredient.has_credentials) == ("before.jpg", "parentOf", True)
    preview = Image.open(io.BytesIO(ingredient.thumbnail))
    assert preview.width / preview.height == pytest.approx(200 / 160, rel=0.01)
    (generative,) = found.generative()
    assert (generative.source_type, generative.manifest) == ("trainedAlgorithmicMedia", 2)
    json.dumps(found.details())
    assert found.details()["ingredients"][0]["thumbnail"]["size_bytes"] == len(ingredient.thumbnail)


def test_unreadable_when_the_library_does_not_load(signed, monkeypatch):
    import builtins

    real = builtins.__import__

    def broken(name, *rest, **named):
        if name == "c2pa":
            raise OSError("libc2pa_c.so: cannot open shared object file")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", broken)
    found = read_credentials(signed["JPEG"], "JPEG")
    assert found.state == "unreadable"
    assert "cannot be loaded" in found.reason
    assert read_credentials(jpeg(SMALL), "JPEG").state == "absent"  # needs no library


def test_library_is_not_loaded_for_files_without_a_mark(monkeypatch):
    monkeypatch.setattr(library, "Reader", None)
    assert read_credentials(jpeg(SMALL), "JPEG").state == "absent"
    assert read_credentials(encode("BMP", SMALL), "BMP").state == "absent"


def test_credentials_on_a_server_are_unreadable_and_never_fetched(monkeypatch):
    """The library is native, so Python's sockets prove nothing: a real server counts the requests."""
    monkeypatch.undo()
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/manifest.c2pa"
        remote = sign(jpeg(SMALL), "JPEG", remote_url=url, embed=False)
        (record,) = [e for e in Metadata().examine(SourceImage.from_bytes(remote)) if "credentials" in e.trace]
        assert record.trace == "content_credentials_unreadable"
        assert "never asked" in record.reference_text
        assert asked == []
        # The same file, read with fetching allowed, does reach the server: so the count above could have failed.
        eager = library.Context.from_dict({"verify": {"remote_manifest_fetch": True}})
        with pytest.raises(library.C2paError):
            library.Reader("image/jpeg", io.BytesIO(remote), context=eager)
        assert asked == ["/manifest.c2pa"]
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("text", ["-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n", "garbage"])
def test_trust_anchors_that_are_no_certificates_are_told(text):
    with pytest.raises(SettingsError, match="PEM"):
        check_trust_anchors(text)
    check_trust_anchors("")
    check_trust_anchors(authority()[0])


# ---- as facts ----


def _facts(data, trust_anchors=""):
    return {e.trace: e for e in Metadata(trust_anchors).examine(SourceImage.from_bytes(data))}


@FORMATS
def test_states_become_facts_that_claim_no_truth(signed, trusted, format_name):
    unknown = _facts(signed[format_name])["content_credentials_unknown_signer"]
    assert unknown.value == "signed by Test Camera of Test Press"
    assert "anybody can sign" in unknown.reference_text
    trusted_fact = _facts(signed[format_name], trusted)["content_credentials_trusted"]
    for fact in (unknown, trusted_fact):
        assert "does not show that the picture is true" in fact.reference_text
        assert (fact.kind, fact.log10_nfa, fact.p_value) == ("fact", None, None)
        json.dumps(fact.details)
    assert unknown.details["actions"][0]["program"] == "Test Program 2"
    clean = _facts(encode(format_name, SMALL))
    assert clean["no_metadata"].details["content_credentials"] == "absent"
    assert not [t for t in clean if t.startswith("content_credentials")]


def test_generative_model_is_a_fact_of_its_own(signed):
    data = sign(jpeg(SMALL), "JPEG", source_type="compositeWithTrainedAlgorithmicMedia")
    fact = _facts(data)["content_credentials_generative"]
    assert fact.value == "a part was made by a generative model"
    assert "Test Program 2" in fact.reference_text
    assert "content_credentials_generative" not in _facts(signed["JPEG"])


def test_announced_but_empty_is_unreadable():
    chunk = b"caBXdata"
    import zlib

    png = encode("PNG", SMALL)
    announced = png[:33] + (4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big") + png[33:]
    assert "holds none" in _facts(announced)["content_credentials_unreadable"].reference_text


@pytest.mark.parametrize("kind", ["valid", "invalid"])
def test_credentials_never_change_the_verdict(signed, kind):
    plain = encode("JPEG", SMALL)
    data = signed["JPEG"] if kind == "valid" else signed["JPEG"].replace(b"digitalCapture", b"digitalCreator")
    examiner = Examiner(Settings(instruments=("metadata", "noise"), expert=None))
    with_credentials, without = examiner.examine(data), examiner.examine(plain)
    same = ("label", "probability", "log10_nfa", "deciding_ids")
    assert [getattr(with_credentials.verdict, n) for n in same] == [getattr(without.verdict, n) for n in same]
    facts = [c for c in with_credentials.reasoning if c.section == "fact" and "Content Credentials" in c.text]
    assert len(facts) == 1
    assert ("do not hold" in facts[0].text) == (kind == "invalid")


def test_hostile_strings_in_a_manifest_stay_data():
    data = sign(jpeg(SMALL), "JPEG").replace(b"Test Program", b"\x1b[31m<b>[E1]")
    details = json.dumps(_facts(data)["content_credentials_invalid"].details)
    assert "\\u001b" not in details


def test_an_examination_trusts_whom_the_user_names_and_records_it(signed, trusted):
    settings = Settings(instruments=("metadata",), expert=None, trust_anchors=trusted)
    examined = Examiner(settings).examine(signed["JPEG"])
    traces = {e.trace for e in examined.evidence}
    assert "content_credentials_trusted" in traces
    assert len(examined.settings["trust_anchors_sha256"]) == 64
    nobody = Examiner(Settings(instruments=("metadata",), expert=None)).examine(signed["JPEG"])
    assert "content_credentials_unknown_signer" in {e.trace for e in nobody.evidence}
    assert nobody.settings["trust_anchors_sha256"] is None
    with pytest.raises(SettingsError):
        Examiner(Settings(trust_anchors="no certificate"))
