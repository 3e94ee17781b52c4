"""The MCP tools through the official client: over HTTP on a real server, and over stdio with a real process."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from mcp import Client, StdioServerParameters, stdio_client

from app.service import Service, ServiceLimits
from fakeexplain.examiner import Settings
from tests.integration.app_server import running
from tests.pictures import copy_move, encode, photograph

QUICK = Settings(instruments=("copy_move", "metadata"), expert=None)


@pytest.fixture(scope="module")
def forged() -> bytes:
    return encode(copy_move(photograph("astronaut"))[0])


def told(result) -> str:
    return "\n".join(c.text for c in result.content if c.type == "text")


def in_own_loop(work) -> None:
    """Runs a coroutine in a thread: a browser test before this one leaves its own loop running in the main thread."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


async def talk(client: Client, picture: str) -> None:
    names = {t.name for t in (await client.list_tools()).tools}
    assert names == {"examine", "ask", "evidence"}
    examined = await client.call_tool("examine", {"picture": picture})
    assert not examined.is_error, told(examined)
    found = json.loads(told(examined))
    assert found["verdict"] == "manipulated"
    assert found["evidence"][0]["other_causes"]
    shown = await client.call_tool("evidence", {"picture_id": found["id"], "evidence_id": "E1"})
    assert [r["label"] for r in json.loads(told(shown))["regions"]] == ["E1a", "E1b"]
    image = next(c for c in shown.content if c.type == "image")
    assert base64.b64decode(image.data)[:3] == b"\xff\xd8\xff"
    answer = json.loads(told(await client.call_tool("ask", {"picture_id": found["id"], "question": "What is E1?"})))
    assert "[E1]" in answer["answer"]
    assert answer["verdict"] == "manipulated"
    wrong = await client.call_tool("evidence", {"picture_id": found["id"], "evidence_id": "E99"})
    assert wrong.is_error
    assert "wanted one of E1" in told(wrong)


def test_over_http(tmp_path, forged):
    picture = tmp_path / "secret.png"
    picture.write_bytes(forged)
    service = Service(QUICK, ServiceLimits(workers=1), folder=tmp_path)

    async def run(address: str) -> None:
        async with Client(f"{address}/mcp") as client:
            await talk(client, "data:image/png;base64," + base64.b64encode(forged).decode())
            refused = await client.call_tool("examine", {"picture": str(picture)})
            assert refused.is_error
            assert "data URL" in told(refused)

    with running(service) as address:
        in_own_loop(run(address))


def test_over_stdio(tmp_path, forged):
    picture = tmp_path / "forged.png"
    picture.write_bytes(forged)
    code = "from fakeexplain.commands.app import mcp; import typer; typer.run(mcp)"
    process = StdioServerParameters(command=sys.executable, args=["-c", code, "--expert", "none"])

    async def run() -> None:
        async with Client(stdio_client(process)) as client:
            await talk(client, str(picture))
            missing = await client.call_tool("examine", {"picture": str(tmp_path / "none.png")})
            assert "no such file" in told(missing)

    in_own_loop(run())
