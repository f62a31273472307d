"""`ztproxy status` against a socket that answers, and against one that does not."""

import asyncio
import json
import re

import pytest
from aiohttp import web
from msgspec.structs import replace

from tests.observed import NOW, SERVER, ToldFleet, worker
from ztproxy.admin import pages
from ztproxy.cli.status import show
from ztproxy.cli.status_text import lines
from ztproxy.config.values import TcpAddress, UnixAddress


@pytest.fixture
async def served(tmp_path):
    """Serves what `answer` makes at a Unix socket; gives its address."""
    runners = []

    async def serve(answer):
        async def handle(request: web.Request) -> web.Response:
            return await answer(request)

        application = web.Application()
        application.router.add_get("/status", handle)
        runner = web.AppRunner(application)
        runners.append(runner)
        await runner.setup()
        await web.UnixSite(runner, str(tmp_path / "a.sock")).start()
        return UnixAddress(tmp_path / "a.sock")

    yield serve
    for runner in runners:
        await runner.cleanup()


def telling(fleet):
    async def answer(_):
        return web.Response(body=await pages.status(fleet, NOW), content_type="application/json")

    return answer


async def shown(address, **options):
    return await asyncio.to_thread(show, address, **options)


async def test_a_proxy_that_is_well_ends_with_0(served, capsys):
    address = await served(telling(ToldFleet(worker())))
    assert await shown(address) == 0
    said = capsys.readouterr().out
    assert "all is well" in said.splitlines()[0]
    for name in ("10.0.0.5:8080", "https://login.test", "gateway.pem", "CN=Clients", "0.0.0.0:8443", "a" * 12):
        assert name in said


async def test_what_is_wrong_is_said_first_and_ends_with_1(served, capsys):
    address = await served(telling(ToldFleet(worker(server=replace(SERVER, ejected=True)))))
    assert await shown(address) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith(": 1 problem")
    assert said[1] == "  ! route orders: http://10.0.0.5:8080 is left out after failures"


async def test_json_is_the_document(served, capsys):
    address = await served(telling(ToldFleet(worker())))
    assert await shown(address, as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["format"] == 1
    assert document["servers"][0]["in_flight"] == 1


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=403),
        web.Response(body=b"nonsense"),
        web.Response(body=b'{"format": 1}'),
        web.Response(status=302, headers={"Location": "http://elsewhere.invalid/"}),
    ],
    ids=["refused", "nonsense", "incomplete", "redirect"],
)
async def test_an_answer_that_is_none_ends_with_2(served, capsys, answer):
    async def give(_):
        return answer

    assert await shown(await served(give)) == 2
    assert "no status" in capsys.readouterr().err


async def test_another_format_is_not_guessed_at(served, capsys):
    document = json.loads(await pages.status(ToldFleet(worker()), NOW)) | {"format": 2}

    async def give(_):
        return web.json_response(document)

    assert await shown(await served(give)) == 2
    assert "of another version's form, 2" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_nobody_there_ends_with_2(tmp_path, capsys, kind):
    address = UnixAddress(tmp_path / "none.sock") if kind == "unix" else TcpAddress("127.0.0.1", 1)
    assert show(address) == 2
    assert str(address) in capsys.readouterr().err


async def test_a_token_goes_along_over_tcp(capsys):
    seen = []

    async def handle(request: web.Request) -> web.Response:
        seen.append((request.headers.get("Authorization"), request.headers["Host"]))
        return web.Response(body=await pages.status(ToldFleet(worker()), NOW))

    application = web.Application()
    application.router.add_get("/status", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    assert await shown(TcpAddress("127.0.0.1", port), token="secret") == 0
    assert seen == [("Bearer secret", f"127.0.0.1:{port}")]
    await runner.cleanup()


async def test_columns_stand_below_their_heads():
    status = await pages.status_of(ToldFleet(worker()), NOW)
    text = list(lines(status))
    head = text.index("servers") + 1
    assert re.split(r"\s{2,}", text[head].strip())[:4] == ["ROUTE", "SERVER", "STATE", "IN FLIGHT"]
    assert text[head].index("STATE") == text[head + 1].index("ok")


async def test_nothing_in_a_name_steers_the_terminal():
    evil = "\x1b]0;gone\x07\x9b31m\u202e"
    problem = worker(server=replace(SERVER, server=f"http://{evil}", healthy=False))
    text = "\n".join(lines(await pages.status_of(ToldFleet(problem), NOW)))
    assert not any(character in text for character in evil if not character.isalnum() and character not in "];0")
