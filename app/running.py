"""Runs the server: uvicorn with limits of its own, and an end that leaves nothing behind.

Left out: several processes; one model is in memory, and a second process would need its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.security import Gatekeeper
from app.service import Service

_HEADER_SECONDS = 15.0
_MOST_CONNECTIONS = 128


class PatientProtocol(H11Protocol):
    """HTTP/1.1, but a connection that brings no whole request head in time is closed; uvicorn would wait for ever."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(_HEADER_SECONDS, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    def _give_up(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


def server_of(
    service: Service,
    gatekeeper: Gatekeeper,
    *,
    page: bool,
    idle_seconds: float = 20.0,
    reviews: Path | None = None,
) -> uvicorn.Server:
    """A uvicorn server of the whole app; not running yet. The options are those of `server.create_app`."""
    from app.server import create_app

    config = uvicorn.Config(
        create_app(service, gatekeeper, page=page, idle_seconds=idle_seconds, reviews=reviews),
        http=PatientProtocol,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,  # addresses and names of pictures are nobody's business
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=1 << 16,
    )
    return uvicorn.Server(config)


def serve(
    service: Service,
    gatekeeper: Gatekeeper,
    listening: socket.socket,
    *,
    page: bool,
    reviews: Path | None = None,
) -> None:
    """Serves until SIGINT or SIGTERM; closes the service whatever happens. reviews: see `server.create_app`."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(service.private.path / "torch"))  # else torch leaves a folder
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # uvicorn raises it again when it has ended
    try:
        asyncio.run(server_of(service, gatekeeper, page=page, reviews=reviews).serve([listening]))
    except KeyboardInterrupt:
        pass
    finally:
        service.close()
