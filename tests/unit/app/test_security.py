from __future__ import annotations

import pytest

from app.security import Gatekeeper, bearer, check_listening, is_loopback, safe_name
from fakeexplain.errors import SettingsError

TOKEN = "a-token-of-some-length"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\system32\\a.png", "a.png"),
        ("/absolute/b.tif", "b.tif"),
        ("..", "picture"),
        ("", "picture"),
        (None, "picture"),
        (".hidden.jpg", "hidden.jpg"),
        ("a\x00b\nc\x1b[31m.jpg", "a_b_c_[31m.jpg"),
        ("<img src=x onerror=alert(1)>.jpg", "_img src=x onerror=alert(1)_.jpg"),
        ("con.jpg", "_con.jpg"),
        ("COM1", "_COM1"),
        ("e\u0301.jpg", "é.jpg"),
        ("\udcff.jpg", "_.jpg"),
        ("a\u202egpj.exe", "a_gpj.exe"),
    ],
)
def test_safe_name(given, kept):
    assert safe_name(given) == kept


def test_safe_name_is_short_and_keeps_the_suffix():
    name = safe_name("ü" * 500 + ".jpeg")
    assert len(name.encode()) <= 120
    assert name.endswith("ü.jpeg")


@pytest.mark.parametrize(
    ("host", "yes"), [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)]
)
def test_is_loopback(host, yes):
    assert is_loopback(host) is yes


def test_another_host_needs_a_token():
    with pytest.raises(SettingsError, match="--token"):
        check_listening("0.0.0.0", None)
    with pytest.raises(SettingsError, match="at least 16"):
        check_listening("0.0.0.0", "short")
    check_listening("0.0.0.0", TOKEN)
    check_listening("127.0.0.1", None)


@pytest.mark.parametrize(
    ("host", "header", "yes"),
    [
        ("127.0.0.1", "127.0.0.1:7860", True),
        ("127.0.0.1", "localhost:7860", True),
        ("127.0.0.1", "[::1]:7860", True),
        ("127.0.0.1", "evil.example:7860", False),
        ("127.0.0.1", "127.0.0.1.evil.example", False),
        ("127.0.0.1", "localhost@evil.example", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", None, False),
        ("192.168.0.7", "192.168.0.7:7860", True),
        ("192.168.0.7", "localhost", False),
        ("0.0.0.0", "any.example", True),
    ],
)
def test_hosts(host, header, yes):
    assert Gatekeeper(host, TOKEN).host_allowed(header) is yes


@pytest.mark.parametrize(
    ("origin", "site", "yes"),
    [
        (None, None, True),
        ("http://127.0.0.1:7860", "same-origin", True),
        ("http://127.0.0.1:7860", None, True),
        ("http://127.0.0.1:9999", None, False),
        ("http://evil.example", None, False),
        ("null", None, False),
        (None, "cross-site", False),
        (None, "same-site", False),
        (None, "none", True),
    ],
)
def test_origins(origin, site, yes):
    assert Gatekeeper().origin_allowed(origin, "127.0.0.1:7860", site) is yes


def test_tokens():
    gate = Gatekeeper("127.0.0.1", TOKEN)
    assert gate.token_allowed(TOKEN)
    for wrong in (None, "", TOKEN[:-1], TOKEN + "x", "ü" * 16):
        assert not gate.token_allowed(wrong)
    assert Gatekeeper().token_allowed(None)
    assert bearer(f"Bearer {TOKEN}") == TOKEN
    assert bearer(f"bearer  {TOKEN}") == TOKEN
    assert bearer("Basic abc") is None
    assert bearer("Bearer ") is None


def test_ten_wrong_tokens_in_a_minute_are_enough():
    gate = Gatekeeper("127.0.0.1", TOKEN)
    for _ in range(9):
        gate.failed("1.2.3.4")
    assert gate.wait_for("1.2.3.4") == 0
    gate.failed("1.2.3.4")
    assert 50 < gate.wait_for("1.2.3.4") <= 61
    assert gate.wait_for("5.6.7.8") == 0
