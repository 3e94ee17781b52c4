"""A real server on a free port of this machine, for tests and benchmarks: uvicorn in a thread, stopped at the end."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from app.running import server_of
from app.security import Gatekeeper
from app.service import Service


@contextmanager
def running(service: Service, *, token: str | None = None, idle_seconds: float = 20.0) -> Iterator[str]:
    """The server's address. The service is closed when the server has ended."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = server_of(service, Gatekeeper("127.0.0.1", token), page=False, idle_seconds=idle_seconds)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])), daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"{address}/healthz", timeout=5)
            break
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    try:
        yield address
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()
