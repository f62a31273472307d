"""Requests that the proxy answers itself out of their content."""

import asyncio

import pytest

from tests.edge import Edge
from tests.fakes import RecordingPipeline
from ztproxy.model import Answer, Answered, Reason, Refusal, Refused, WithContent

HEAD = b"POST /x HTTP/1.1\r\nHost: h\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def edge(answer, maximum=8):
    return Edge(RecordingPipeline(lambda arrived: WithContent(maximum, answer, arrived)))


async def echo(content):
    return Answer(200, (), content)


@pytest.mark.parametrize(
    "request_",
    [HEAD + b"Content-Length: 5\r\n\r\nhello", CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"],
)
async def test_the_answer_is_made_of_all_the_content(request_):
    one = edge(echo)
    assert one.send(request_[:-4]) == b""
    assert one.send(request_[-4:]).endswith(b"\r\n\r\nhello")
    assert isinstance(one.told.last.outcome, Answered)
    assert one.send(HEAD + b"\r\n").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("request_", [HEAD + b"Content-Length: 9\r\n\r\n", CHUNKED + b"9\r\n123456789\r\n0\r\n\r\n"])
async def test_more_than_is_taken_is_refused(request_):
    made = []

    async def answer(content):
        made.append(content)
        return Answer(200, (), b"")

    one = edge(answer)
    assert one.send(request_).startswith(b"HTTP/1.1 413")
    assert made == []


async def test_a_refusal_is_told_with_what_was_asked():
    async def refuse(_):
        return Refusal(Reason.TOKEN_MISSING)

    one = edge(refuse)
    assert one.send(HEAD + b"Content-Length: 0\r\n\r\n").startswith(b"HTTP/1.1 401")
    outcome = one.told.last.outcome
    assert isinstance(outcome, Refused)
    assert outcome.at is one.arrived[0]


async def test_an_answer_that_takes_its_time_comes():
    go = asyncio.Event()

    async def later(content):
        await go.wait()
        return Answer(200, (), content)

    one = edge(later)
    assert one.send(HEAD + b"Content-Length: 2\r\n\r\nok") == b""
    go.set()
    async with asyncio.timeout(1):
        while not one.wire.written:
            await asyncio.sleep(0)
    assert one.wire.taken().endswith(b"ok")


async def test_nothing_is_made_for_a_client_that_went_away():
    made = []

    async def answer(content):
        made.append(content)
        return Answer(200, (), b"")

    one = edge(answer)
    one.send(HEAD + b"Content-Length: 2\r\n\r\no")
    one.http.lost()
    assert made == []
    assert one.told.last.status == 0


async def test_what_fails_is_a_bug_and_told_as_one():
    async def fail(_):
        raise RuntimeError

    one = edge(fail)
    assert one.send(HEAD + b"Content-Length: 2\r\n\r\nok").startswith(b"HTTP/1.1 500")


async def test_a_client_that_waits_is_asked_to_go_on():
    one = edge(echo)
    assert one.send(HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert one.send(b"ok").endswith(b"ok")
