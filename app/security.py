"""Who may talk to the server and what a browser may do with its answers: token, host and origin checks, headers, names.

Loopback needs no token, but a page of another site must not reach it either: its requests are told by `Host` (DNS
rebinding) and `Origin`. Left out: TLS; on another host than loopback put a reverse proxy with a certificate in front.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
import threading
import time
import unicodedata
from collections import OrderedDict
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fakeexplain.errors import SettingsError
from fakeexplain.imaging.source import SUFFIXES, printable

TOKEN_COOKIE = "fakeexplain_token"
SHORTEST_TOKEN = 16
_NAME_BYTES = 120
_GUESSES, _GUESS_SECONDS, _MOST_ADDRESSES = 10, 60.0, 1024
_RESERVED = {"con", "prn", "aux", "nul", *(f"com{i}" for i in range(1, 10)), *(f"lpt{i}" for i in range(1, 10))}

# Gradio's pages bring inline scripts and make functions from text; nothing may come from, or go to, another host.
PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
# Answers of the API are data; opened in a browser they are shown without scripts, forms or a way out.
DATA_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox"
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


def is_loopback(host: str) -> bool:
    """Whether a host to listen on is this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_listening(host: str, token: str | None) -> None:
    """Raises SettingsError for another host without a token, or for a token that is easy to guess."""
    if token is not None and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable()):
        raise SettingsError(
            f"--token: {len(token)} characters, wanted at least {SHORTEST_TOKEN} printable ASCII ones; say "
            "python -c 'import secrets; print(secrets.token_urlsafe(24))'"
        )
    if token is None and not is_loopback(host):
        raise SettingsError(
            f"--host {printable(host, 80)}: others could reach this address; give --token as well, or keep 127.0.0.1"
        )


@dataclass
class Gatekeeper:
    """Decides for each request whether it is let in.

    Args:
        host: the address listened on; decides which `Host` headers are ours.
        token: what every request must bring, None for no token (loopback only).
    """

    host: str = "127.0.0.1"
    token: str | None = None
    _failures: OrderedDict[str, list[float]] = field(default_factory=OrderedDict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        check_listening(self.host, self.token)

    def host_allowed(self, header: str | None) -> bool:
        """Whether a `Host` header names this server. With a wildcard address any name may; the token guards then."""
        name = _host_name(header or "")
        if not name:
            return False
        if is_loopback(name) and is_loopback(self.host):
            return True
        return name == self.host.strip("[]").lower() or (self.host in ("0.0.0.0", "::") and self.token is not None)

    def origin_allowed(self, origin: str | None, host: str | None, fetch_site: str | None) -> bool:
        """Whether a request was made by our own page or by no page at all."""
        if fetch_site is not None and fetch_site.lower() not in ("same-origin", "none"):
            return False
        if origin is None:
            return True
        parts = urlsplit(origin)  # "null" has no netloc
        return bool(parts.netloc) and parts.netloc.lower() == (host or "").lower()

    def token_allowed(self, offered: str | None) -> bool:
        """Compares in constant time."""
        if self.token is None:
            return True
        return hmac.compare_digest((offered or "").encode("utf-8", "replace"), self.token.encode())

    def wait_for(self, address: str) -> int:
        """Seconds until this address may try a token again; 0 for now."""
        now = time.monotonic()
        with self._lock:
            recent = [t for t in self._failures.get(address, []) if now - t < _GUESS_SECONDS]
            return 0 if len(recent) < _GUESSES else max(1, int(_GUESS_SECONDS - (now - recent[0])) + 1)

    def failed(self, address: str) -> None:
        """Counts a wrong token."""
        now = time.monotonic()
        with self._lock:
            recent = [t for t in self._failures.pop(address, []) if now - t < _GUESS_SECONDS]
            self._failures[address] = [*recent, now][-_GUESSES:]
            while len(self._failures) > _MOST_ADDRESSES:
                self._failures.popitem(last=False)


def _host_name(header: str) -> str:
    """The name of a Host header without its port, "" for a malformed one."""
    match = re.fullmatch(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?", header.strip().lower())
    return match.group(1).strip("[]") if match else ""


def bearer(authorization: str | None) -> str | None:
    """The token of an `Authorization: Bearer` header."""
    scheme, _, value = (authorization or "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" and value.strip() else None


def safe_name(name: str | None) -> str:
    """A file name that is only a name: no folders, no control characters, no leading dot, not too long.

    >>> safe_name("../../etc/passwd"), safe_name("C:\\\\pictures\\\\a.jpg"), safe_name(".."), safe_name(None)
    ('passwd', 'a.jpg', 'picture', 'picture')
    """
    text = unicodedata.normalize("NFC", (name or "").encode("utf-8", "replace").decode("utf-8"))
    text = re.split(r"[/\\]", text)[-1]
    text = "".join("_" if not c.isprintable() or c in '<>:"|?*' else c for c in text).strip(" .")
    stem, suffix = os.path.splitext(text)
    if suffix.lower() not in SUFFIXES:
        stem, suffix = text, ""
    if stem.split(".")[0].lower() in _RESERVED:
        stem = f"_{stem}"
    kept = stem.encode()[: _NAME_BYTES - len(suffix)].decode("utf-8", "ignore").rstrip(" .")
    return f"{kept}{suffix}" if kept else f"picture{suffix}"
