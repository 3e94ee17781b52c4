"""`fakeexplain app` as a process: refuses what is unsafe, says what it does, ends without leaving a file."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import httpx
import pytest

CODE = "from fakeexplain.commands.app import app; import typer; typer.run(app)"


def start(tmp_path, *options: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "200"}
    return subprocess.Popen(
        [sys.executable, "-c", CODE, "--no-browser", "--no-page", "--port", "0", "--expert", "none", *options],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def refused(tmp_path, *options: str) -> tuple[int, str]:
    process = start(tmp_path, *options)
    _, told = process.communicate(timeout=120)
    return process.returncode, told


def test_another_host_needs_a_token(tmp_path):
    code, told = refused(tmp_path, "--host", "0.0.0.0")
    assert code == 2
    assert "--token" in told
    code, told = refused(tmp_path, "--host", "0.0.0.0", "--token", "short")
    assert code == 2
    assert "at least 16" in told


def test_wrong_settings_are_told_at_once(tmp_path):
    code, told = refused(tmp_path, "--false-alarms", "3")
    assert code == 2
    assert "--false-alarms" in told
    code, told = refused(tmp_path, "--expert", str(tmp_path / "nothing"))
    assert code == 2
    assert "config.json" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_says_so_and_leaves_nothing(tmp_path, signal_number):
    process = start(tmp_path)
    assert process.stderr is not None
    try:
        address = re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline()).group()
        deadline = time.monotonic() + 120
        while True:
            try:
                assert httpx.get(f"{address}/healthz", timeout=10).json()["status"] == "ok"
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert any(p.name.startswith("fakeexplain-app-") for p in tmp_path.iterdir())
        process.send_signal(signal_number)
        told = process.stderr.read()
        assert process.wait(60) == 0
    finally:
        process.kill()
    assert "Nothing leaves this machine" in told
    assert "Traceback" not in told
    assert [p.name for p in tmp_path.iterdir()] == []
