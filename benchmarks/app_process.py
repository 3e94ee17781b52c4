"""A server of the app in a process of its own, for `app_load.py` and `app_abuse.py`: start, look inside, end, count."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[1]
_CODE = "from fakeexplain.commands.app import app; import typer; typer.run(app)"


class ServerProcess:
    """`fakeexplain app` on a free port, with a folder of temporary files that only it uses.

    Args:
        options: of the command.
        folder: of temporary files that another server, which was killed, used before; None for a new one.
    """

    def __init__(self, *options: str, folder: Path | None = None) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="app-benchmark-"))
        self.log = self.folder.with_suffix(".log")
        environment = {**os.environ, "TMPDIR": str(self.folder), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        self.started = time.monotonic()
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CODE, "--no-browser", "--port", "0", *options],
                stderr=log,
                env=environment,
                cwd=ROOT,
            )
        self.address = self._await_address()

    def _await_address(self) -> str:
        while time.monotonic() - self.started < 300:
            found = re.search(r"http://127\.0\.0\.1:\d+", self.log.read_text())
            if found:
                return found.group()
            if self._process.poll() is not None:
                raise SystemExit(f"the server ended at once: {self.log.read_text()}")
            time.sleep(0.02)
        raise SystemExit("the server did not start within 300 s")

    def await_page(self, path: str = "/") -> float:
        """Seconds from start to the first whole answer of a page.

        Raises:
            SystemExit: the server ended, or answers something else than 200.
        """
        while True:
            try:
                answer = httpx.get(self.address + path, timeout=60)
                if answer.status_code == 200:
                    return time.monotonic() - self.started
                raise SystemExit(f"{path}: {answer.status_code} {answer.text[:200]}")
            except httpx.TransportError:
                if self._process.poll() is not None:
                    raise SystemExit(f"the server ended: {self.log.read_text()}") from None
                time.sleep(0.02)

    def await_model(self, **options: object) -> float:
        """Seconds from start until the model is loaded."""
        while not httpx.get(f"{self.address}/healthz", timeout=60, **options).json().get("model_loaded", True):  # type: ignore[arg-type]
            time.sleep(0.1)
        return time.monotonic() - self.started

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def resident_mib(self) -> float:
        """Memory of the server itself, without its decoding process."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found.group(1)) / 1024

    def processor_seconds(self) -> float:
        """Processor time of the server itself so far, all threads."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()
        self._process.wait(60)

    def files(self) -> list[str]:
        """Everything in its folder of temporary files."""
        return sorted(str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if p.is_file())

    def end(self) -> tuple[int, list[str]]:
        """(exit code, what it left behind) after being told to end."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(120)
        return code, sorted(str(p.relative_to(self.folder)) for p in self.folder.rglob("*"))
