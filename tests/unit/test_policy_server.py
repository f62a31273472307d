"""The server engine against sockets that speak OPA's language, another, or none."""

import asyncio
import json
import ssl
import time

import pytest

from tests.opa import Pretender, http
from tests.pki import Authority
from ztproxy.config.policies import PolicyServer, PolicySettings
from ztproxy.model import Reason
from ztproxy.policy import server as module
from ztproxy.policy.client import MAXIMUM_ANSWER, parse_place
from ztproxy.policy.reference import example_document
from ztproxy.policy.server import ServerEngine

DOCUMENT = example_document()
ALLOW = http(b'{"result":{"allow":true}}')


@pytest.fixture
async def pretender():
    pretender = Pretender(ALLOW)
    await pretender.start()
    yield pretender
    await pretender.stop()


def build(url, deadline=5.0, token=None, authorities=()):
    return ServerEngine.build(
        PolicySettings(engine="server", deadline=deadline, server=PolicyServer(url=url, authorities=authorities)), token
    )


@pytest.fixture
async def engine(pretender):
    engine = build(f"http://127.0.0.1:{pretender.port}", token="t0ken")
    yield engine
    await engine.close()


async def test_a_question_and_its_answer(engine, pretender):
    evaluation = await engine.evaluate(DOCUMENT, 0)
    assert (evaluation.value, evaluation.problem) == (b'{"allow":true}', None)
    [request] = pretender.requests
    head, body = request.split(b"\r\n\r\n", 1)
    lines = head.split(b"\r\n")
    assert lines[0].startswith(b"POST /v1/data/ztproxy/authz/decision?")
    assert b"strict-builtin-errors=true" in lines[0]
    assert b"Authorization: Bearer t0ken" in lines
    assert body == b'{"input":' + DOCUMENT + b"}"


async def test_connections_are_reused(engine, pretender):
    for _ in range(20):
        assert (await engine.evaluate(DOCUMENT, 0)).problem is None
    assert pretender.connections == 1


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (http(b"{}"), Reason.POLICY_UNDEFINED),
        (http(b'{"decision_id":"1"}'), Reason.POLICY_UNDEFINED),
        (http(b"[]"), Reason.POLICY_MALFORMED),
        (http(b"true"), Reason.POLICY_MALFORMED),
        (http(b""), Reason.POLICY_MALFORMED),
        (http(b"<html>"), Reason.POLICY_MALFORMED),
        (http(b'{"result":true'), Reason.POLICY_MALFORMED),
        (http(b'{"result":true}{"result":true}'), Reason.POLICY_MALFORMED),
        (http(b"[" * 200_000), Reason.POLICY_MALFORMED),
        (http(b'{"result":' + b"[" * 100_000), Reason.POLICY_MALFORMED),
        (http(b'{"result":true,"provenance":1}'), Reason.POLICY_MALFORMED),
        (http(b'{"result":true}', "201 Created"), Reason.POLICY_MALFORMED),
        (http(b'{"result":true}', "404 Not Found"), Reason.POLICY_MALFORMED),
        (http(b"", "302 Found", b"Location: http://127.0.0.1:1/\r\n"), Reason.POLICY_MALFORMED),
        (http(b"", "307 Temporary Redirect", b"Location: /v1/data/other\r\n"), Reason.POLICY_MALFORMED),
        (http(b'{"result":true}', "401 Unauthorized"), Reason.POLICY_UNAVAILABLE),
        (http(b"", "403 Forbidden"), Reason.POLICY_UNAVAILABLE),
        (http(b"", "503 Service Unavailable"), Reason.POLICY_UNAVAILABLE),
        (http(b"oops", "500 Internal Server Error"), Reason.POLICY_UNAVAILABLE),
        (
            http(b'{"code":"internal_error","message":"m","errors":[{"message":"divide by zero"}]}', "500 I"),
            Reason.POLICY_ERROR,
        ),
        (b"SSH-2.0-OpenSSH_10.0\r\n\r\n", Reason.POLICY_MALFORMED),
        (b"\0" * 64 + b"\r\n\r\n", Reason.POLICY_MALFORMED),
        (http(b'\x1f\x8b"gzip"', fields=b"Content-Encoding: gzip\r\n"), Reason.POLICY_MALFORMED),
    ],
    ids=lambda value: value.word if isinstance(value, Reason) else repr(value[:80]),
)
async def test_what_is_no_answer(engine, pretender, answer, problem):
    pretender.answer = answer
    evaluation = await engine.evaluate(DOCUMENT, 0)
    assert (evaluation.value, evaluation.problem) == (None, problem), evaluation.cause
    assert evaluation.cause
    assert len(pretender.requests) == 1, "asked once, never again"


async def test_what_failed_is_told_to_the_operator(engine, pretender):
    pretender.answer = http(b'{"code":"internal_error","message":"m","errors":[{"message":"divide by zero"}]}', "500 I")
    assert "divide by zero" in (await engine.evaluate(DOCUMENT, 0)).cause


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_answer_without_end_is_cut_off(engine, pretender, chunked):
    if chunked:
        piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
        pretender.answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + piece * 64
    else:
        pretender.answer = http(b'{"result":true' + b" " * MAXIMUM_ANSWER + b"}")
    evaluation = await engine.evaluate(DOCUMENT, 0)
    assert evaluation.problem is Reason.POLICY_MALFORMED
    assert "large" in evaluation.cause


async def test_a_connection_that_breaks_is_no_reason_to_stop_asking(engine, pretender):
    async def close(request):
        return None

    pretender.answer = close
    assert (await engine.evaluate(DOCUMENT, 0)).problem is Reason.POLICY_UNAVAILABLE
    assert len(pretender.requests) == 1
    pretender.answer = ALLOW
    assert (await engine.evaluate(DOCUMENT, 0)).problem is None


async def test_the_deadline_is_ours(pretender):
    hang = asyncio.Event()

    async def never(request):
        await hang.wait()

    pretender.answer = never
    engine = build(f"http://127.0.0.1:{pretender.port}", deadline=0.2)
    started = time.monotonic()
    evaluation = await engine.evaluate(DOCUMENT, 0)
    assert evaluation.problem is Reason.POLICY_TIMEOUT
    assert time.monotonic() - started < 2
    hang.set()
    pretender.answer = ALLOW
    assert (await engine.evaluate(DOCUMENT, 0)).problem is None
    await engine.close()


async def test_the_deadline_holds_when_the_client_library_swallows_its_cancellation(engine):
    released = asyncio.Event()

    async def stubborn(*args, **kwargs):
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue
        return b'{"result":true}'

    engine._client.query_rule = stubborn
    engine._deadline = 0.02
    assert (await engine.evaluate(DOCUMENT, 0)).problem is Reason.POLICY_TIMEOUT
    released.set()
    await asyncio.wait(set(engine._asked) or {asyncio.create_task(asyncio.sleep(0))})


async def test_while_it_is_away_one_question_at_a_time_looks_for_it(pretender):
    engine = build(f"http://127.0.0.1:{pretender.port}", deadline=10.0)
    clock = [100.0]
    engine._clock = lambda: clock[0]
    port = pretender.port
    await pretender.stop()
    calls = []
    ask = engine._client.query_rule

    async def counted(*args, **kwargs):
        calls.append(args)
        return await ask(*args, **kwargs)

    engine._client.query_rule = counted
    assert (await engine.evaluate(DOCUMENT, 0)).problem is Reason.POLICY_UNAVAILABLE
    assert len(calls) == 1
    clock[0] += 1
    evaluations = await asyncio.gather(*(engine.evaluate(DOCUMENT, 0) for _ in range(40)))
    assert {evaluation.problem for evaluation in evaluations} == {Reason.POLICY_UNAVAILABLE}
    assert len(calls) == 2
    await asyncio.gather(*(engine.evaluate(DOCUMENT, 0) for _ in range(40)))
    assert len(calls) == 2, "nor does one after the other, before the interval is over"
    await pretender.start(port)
    clock[0] += 2 * module.PROBE_INTERVAL
    assert (await engine.evaluate(DOCUMENT, 0)).problem is None
    evaluations = await asyncio.gather(*(engine.evaluate(DOCUMENT, 0) for _ in range(40)))
    assert {evaluation.problem for evaluation in evaluations} == {None}
    await engine.close()


async def test_a_slow_look_for_it_is_not_joined_by_others(engine, pretender):
    clock = [100.0]
    engine._clock = lambda: clock[0]
    engine._away = "it was away"
    answer = asyncio.Event()

    async def later(request):
        await answer.wait()
        return ALLOW

    pretender.answer = later
    probe = asyncio.create_task(engine.evaluate(DOCUMENT, 0))
    while not pretender.requests:
        await asyncio.sleep(0)
    clock[0] += 10 * module.PROBE_INTERVAL
    assert (await engine.evaluate(DOCUMENT, 0)).cause == "it was away"
    answer.set()
    assert (await probe).problem is None
    assert (await engine.evaluate(DOCUMENT, 0)).problem is None
    assert pretender.connections == 1


async def test_questions_under_way_are_bounded(engine, pretender, monkeypatch):
    monkeypatch.setattr(module, "MAXIMUM_ASKED", 3)
    hang = asyncio.Event()

    async def later(request):
        await hang.wait()
        return ALLOW

    pretender.answer = later
    tasks = [asyncio.create_task(engine.evaluate(DOCUMENT, 0)) for _ in range(3)]
    while len(pretender.requests) < 3:
        await asyncio.sleep(0)
    assert (await engine.evaluate(DOCUMENT, 0)).problem is Reason.POLICY_UNAVAILABLE
    hang.set()
    assert {evaluation.problem for evaluation in await asyncio.gather(*tasks)} == {None}


async def test_a_caller_that_goes_takes_its_question_along(engine, pretender):
    async def never(request):
        await asyncio.Event().wait()

    pretender.answer = never
    task = asyncio.create_task(engine.evaluate(DOCUMENT, 0))
    while not pretender.requests:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while engine._asked:
        await asyncio.sleep(0)


async def test_no_task_of_the_callers_is_needed(engine):
    done = asyncio.get_running_loop().create_future()
    coroutine = engine.evaluate(DOCUMENT, 0)

    def step(_=None):
        try:
            waited = coroutine.send(None)
        except StopIteration as stop:
            done.set_result(stop.value)
        else:
            waited._asyncio_future_blocking = False
            waited.add_done_callback(step)

    asyncio.get_running_loop().call_soon(step)
    assert (await done).problem is None


async def test_a_closed_engine_refuses(engine):
    await engine.evaluate(DOCUMENT, 0)
    await engine.close()
    assert (await engine.evaluate(DOCUMENT, 0)).problem is Reason.POLICY_UNAVAILABLE


async def test_the_revision_is_the_bundles(engine, pretender):
    assert engine.revision == "server"
    body = {"result": True, "provenance": {"version": "1.22.2", "bundles": {"b": {"revision": "7"}, "a": {}}}}
    pretender.answer = http(json.dumps(body).encode())
    await engine.evaluate(DOCUMENT, 0)
    assert engine.revision == "a=,b=7"
    body["provenance"]["bundles"] = {"a\x1b[31m": {"revision": "7\n" * 999}}
    pretender.answer = http(json.dumps(body).encode())
    await engine.evaluate(DOCUMENT, 0)
    assert engine.revision.isprintable()
    assert len(engine.revision) == 256


async def test_over_a_unix_socket(tmp_path):
    pretender = Pretender(ALLOW)
    await pretender.start(path=tmp_path / "opa.sock")
    engine = build(f"unix:{tmp_path}/opa.sock")
    assert (await engine.evaluate(DOCUMENT, 0)).value == b'{"allow":true}'
    await engine.close()
    await pretender.stop()
    (tmp_path / "opa.sock").unlink(missing_ok=True)
    gone = build(f"unix:{tmp_path}/opa.sock")
    assert (await gone.evaluate(DOCUMENT, 0)).problem is Reason.POLICY_UNAVAILABLE
    await gone.close()


@pytest.fixture
async def https(tmp_path):
    authority = Authority.new()
    pretender = Pretender(ALLOW)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server().write(tmp_path, "opa"))
    await pretender.start(context=context)
    yield pretender, authority
    await pretender.stop()


async def test_https_with_authorities_of_ones_own(https, tmp_path):
    pretender, authority = https
    engine = build(f"https://localhost:{pretender.port}", authorities=(authority.write(tmp_path),))
    assert (await engine.evaluate(DOCUMENT, 0)).value == b'{"allow":true}'
    await engine.close()


async def test_https_with_another_authority_is_refused_before_anything_is_sent(https, tmp_path):
    pretender, _ = https
    for authorities in ((), (Authority.new("Other").write(tmp_path, "other"),)):
        engine = build(f"https://localhost:{pretender.port}", token="t0ken", authorities=authorities)
        evaluation = await engine.evaluate(DOCUMENT, 0)
        assert evaluation.problem is Reason.POLICY_UNAVAILABLE
        assert "certificate" in evaluation.cause
        await engine.close()
    assert pretender.requests == []


async def test_https_with_another_name_is_refused(https, tmp_path):
    _, authority = https
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server("other.example").write(tmp_path, "named"))
    other = Pretender(ALLOW)
    await other.start(context=context)
    engine = build(f"https://localhost:{other.port}", authorities=(authority.write(tmp_path),))
    assert (await engine.evaluate(DOCUMENT, 0)).problem is Reason.POLICY_UNAVAILABLE
    assert other.requests == []
    await engine.close()
    await other.stop()


def test_authorities_that_hold_none_are_an_error(tmp_path):
    file = tmp_path / "ca.pem"
    file.write_bytes(b"")
    with pytest.raises(OSError):
        build("https://localhost", authorities=(file,))


async def test_reachable(engine, pretender):
    assert await engine.reachable()
    pretender.answer = http(b"", "500 Internal Server Error")
    assert not await engine.reachable()


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://127.0.0.1:8181", ("127.0.0.1", 8181, False, None)),
        ("http://localhost", ("localhost", 8181, False, None)),
        ("http://[::1]:1/", ("[::1]", 1, False, None)),
        ("https://opa.corp.example", ("opa.corp.example", 8181, True, None)),
    ],
)
def test_addresses(url, place):
    assert parse_place(url) == place


@pytest.mark.parametrize(
    "url",
    [
        "http://opa.corp.example:8181",
        "http://10.0.0.1",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://user@127.0.0.1",
        "https://opa/v1/data",
        "https://opa?x=1",
        "https://opa#x",
        "https://opa:99999",
        "ftp://127.0.0.1",
        "127.0.0.1:8181",
        "unix:relative.sock",
        "",
    ],
)
def test_addresses_that_cannot_be_trusted_or_read(url):
    with pytest.raises(ValueError):
        build(url)


def test_authorities_without_tls_are_an_error(tmp_path):
    file = tmp_path / "ca.pem"
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="https"):
        build("http://127.0.0.1", authorities=(file,))
