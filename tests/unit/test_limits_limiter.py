import asyncio
import contextlib
import os
import ssl

import pytest

from ztproxy.config.settings import Settings
from ztproxy.limits import Limits
from ztproxy.limits.redis import TokenBucketRedisStorage
from ztproxy.model import Admitted, Arrived, Connection, Identified, Reason, Refusal, Token


def built(*rules, route=(), **limits):
    return Limits.build(
        Settings(
            version=1,
            listeners=({"address": "127.0.0.1:1", "protocol": "http"},),
            limits={"rules": rules, **limits},
            routes=(
                {"name": "r", "hosts": ("*",), "require": (), "limits": route, "upstream": {"servers": ("http://h",)}},
            ),
        ),
        report=lambda _: None,
    )


def arrived(source="192.0.2.1", now=1000.0, request_id="1"):
    return Arrived(
        request_id=request_id, wall=0.0, monotonic=now, connection=Connection("l", "https", source, 1, 2),
        source=source,
        method="GET", scheme="https", host="h", port=443, authority=b"h", path="/", segments=(), query="",
        has_query=False, fields=(), unverified_authorization=(), content_length=0,
    )  # fmt: skip


def identified(subject=None, issuer="https://a", **at):
    token = None if subject is None else Token(b"", issuer, subject, (), {}, "bearer", None, None, 0.0, None)
    return Identified(arrived(**at), "r", None, token)


async def test_no_rules_cost_nothing_and_limit_nothing():
    limits = built()
    assert await limits.charge_source(arrived()) is None
    admitted = await limits.admit(identified())
    assert isinstance(admitted, Admitted)
    assert admitted.limit is None
    await limits.close()


async def test_the_source_is_charged_before_anything_else_is_known():
    limits = built({"key": "source.address", "rate": "1/minute"})
    assert await limits.charge_source(arrived()) is None
    refusal = await limits.charge_source(arrived())
    assert refusal.reason is Reason.RATE_LIMITED
    assert await limits.charge_source(arrived("192.0.2.2")) is None
    assert await limits.charge_source(arrived(now=1060.0)) is None


async def test_a_refusal_says_when_to_come_again():
    limits = built({"key": "token.subject", "rate": "100/minute", "burst": 2})
    for _ in range(2):
        assert isinstance(await limits.admit(identified("s")), Admitted)
    refusal = await limits.admit(identified("s", now=1000.05))
    assert refusal.fields == (
        (b"retry-after", b"1"),
        (b"ratelimit-policy", b'"token.subject";q=100;w=60'),
        (b"ratelimit", b'"token.subject";r=0;t=1'),
    )
    assert refusal.status == 429
    assert refusal.limit.name == "token.subject"
    assert "token" not in refusal.detail


async def test_coming_again_when_told_is_enough():
    limits = built({"key": "token.subject", "rate": "7/hour", "burst": 1})
    await limits.admit(identified("s"))
    refusal = await limits.admit(identified("s"))
    after = int(dict(refusal.fields)[b"retry-after"])
    assert after == 515  # 3600 / 7 = 514.3
    assert isinstance(await limits.admit(identified("s", now=1000.0 + after)), Admitted)


async def test_the_tightest_rule_is_told():
    limits = built(
        {"key": "token.subject", "rate": "100/second"},
        route=({"key": ("token.subject", "route"), "rate": "5/second", "burst": 7},),
    )
    admitted = await limits.admit(identified("s"))
    assert (admitted.limit.name, admitted.limit.limit, admitted.limit.remaining) == ("token.subject+route", 5, 6)
    assert admitted.limit.reset == pytest.approx(0.2)
    assert admitted.limit.window == 1.0


async def test_the_rule_with_the_longest_wait_refuses():
    limits = built(
        {"key": "token.subject", "rate": "1/minute"},
        {"key": "token.subject", "rate": "1/hour"},
        {"key": "route", "rate": "9/day"},
    )
    await limits.admit(identified("s"))
    refusal = await limits.admit(identified("s"))
    assert dict(refusal.fields)[b"ratelimit"] == b'"token.subject";r=0;t=3600'


async def test_one_refusal_takes_nothing_from_the_other_buckets():
    limits = built({"key": "token.subject", "rate": "1/minute"}, route=({"key": "route", "rate": "3/minute"},))
    await limits.admit(identified("greedy"))
    for _ in range(5):
        assert isinstance(await limits.admit(identified("greedy")), Refusal)
    admitted = await limits.admit(identified("modest"))
    assert isinstance(admitted, Admitted)
    refusal = [await limits.admit(identified(name)) for name in "ab"][1]
    assert refusal.limit.name == "route"


async def test_a_rule_written_twice_counts_once():
    limits = built(*[{"key": "route", "rate": "2/minute"}] * 2)
    assert (await limits.admit(identified())).limit.remaining == 1


async def test_shadow_rules_are_noted_and_stop_nothing():
    limits = built(
        {"key": "source.address", "rate": "1/minute", "shadow": True},
        {"key": "token.subject", "rate": "1/hour", "shadow": True},
        {"key": "token.subject", "rate": "10/second"},
    )
    for number in range(3):
        request = identified("s", request_id=str(number))
        assert await limits.charge_source(request.arrived) is None
        admitted = await limits.admit(request)
        assert admitted.limit.name == "token.subject"
        assert admitted.limit.limit == 10
    assert admitted.limit.shadow == ("source.address", "token.subject")
    assert limits.would_have_refused == {"source.address": 2, "token.subject": 2}


async def test_shadow_rules_alone_are_noted_too():
    limits = built({"key": "source.address", "rate": "1/minute", "shadow": True})
    for _ in range(2):
        await limits.charge_source(arrived())
    admitted = await limits.admit(identified())
    assert admitted.limit.shadow == ("source.address",)


async def test_shadow_notes_of_requests_that_never_come_are_forgotten():
    limits = built({"key": "source.address", "rate": "1/minute", "shadow": True})
    for number in range(5000):
        await limits.charge_source(arrived(request_id=str(number)))
    assert len(limits._noted) == 4096


async def test_a_full_table_is_the_proxy_s_fault_not_the_client_s():
    limits = built({"key": "source.address", "rate": "1/hour"}, maximum_buckets=16)
    for number in range(16):
        await limits.charge_source(arrived(f"192.0.2.{number}"))
    refusal = await limits.charge_source(arrived("192.0.2.99"))
    assert (refusal.reason, refusal.fields) == (Reason.OVERLOADED, ((b"retry-after", b"1"),))


async def test_it_runs_through_without_suspending():
    limits = built({"key": "source.address", "rate": "1/minute"}, {"key": "token.subject", "rate": "1/minute"})
    for coroutine in (limits.charge_source(arrived()), limits.admit(identified("s"))):
        with pytest.raises(StopIteration):
            coroutine.send(None)


@pytest.mark.parametrize(("on_failure", "reason"), [("refuse", Reason.OVERLOADED), ("local", None)])
async def test_a_storage_that_refuses_connections(on_failure, reason):
    limits = built(
        {"key": "token.subject", "rate": "2/hour", "on_failure": on_failure},
        storage="redis://127.0.0.1:1",
        timeout="1s",
    )
    async with asyncio.timeout(5):
        answers = [await limits.admit(identified("s")) for _ in range(3)]
    if reason:
        assert [answer.reason for answer in answers] == [reason] * 3
        assert answers[0].fields == ((b"retry-after", b"1"),)
    else:
        assert [isinstance(answer, Admitted) for answer in answers] == [True, True, False]
        assert answers[2].reason is Reason.RATE_LIMITED
    await limits.close()


@pytest.mark.slow
async def test_a_storage_that_answers_each_word_in_time_is_not_waited_for_longer_in_all():
    hung_up = asyncio.Event()

    async def dawdle(reader, writer):
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                await asyncio.sleep(0.25)  # it is what is tested
                writer.write(b"+OK\r\n")
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        hung_up.set()

    server = await asyncio.start_server(dawdle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    limits = built({"key": "token.subject", "rate": "2/hour"}, storage=f"redis://127.0.0.1:{port}", timeout="300ms")
    refusal = await limits.admit(identified("s"))
    assert refusal.reason is Reason.OVERLOADED
    assert refusal.cause.startswith("TimeoutError")
    await limits.close()
    await asyncio.wait_for(hung_up.wait(), 5)
    server.close()
    await server.wait_closed()


async def test_a_shadow_rule_does_not_stop_requests_while_the_storage_is_away():
    limits = built({"key": "token.subject", "rate": "2/hour", "shadow": True}, storage="redis://127.0.0.1:1")
    assert isinstance(await limits.admit(identified("s")), Admitted)
    await limits.close()


@pytest.mark.parametrize("storage", ["redis://host:port", "redis://a:1,b"])
def test_a_storage_that_cannot_be_read_is_refused_at_start(storage):
    with pytest.raises(ValueError):
        built(storage=storage)


def test_a_password_is_said_once_and_verification_is_the_default():
    with pytest.raises(ValueError, match="once"):
        TokenBucketRedisStorage("rediss://user:one@host", password="two", timeout=1)
    storage = TokenBucketRedisStorage("rediss://user@host", password="two", timeout=1)
    connection = storage._rounds._client.connection_pool.make_connection()
    assert (connection.username, connection.password) == ("user", "two")
    assert connection.ssl_context.get().verify_mode is ssl.CERT_REQUIRED
    assert connection.ssl_context.get().check_hostname


async def test_what_was_charged_is_counted_by_rule():
    limits = built(
        {"key": "source.address", "rate": "1000/second"},
        {"key": "token.subject", "rate": "1/hour", "burst": 2},
        {"key": "route", "rate": "1/hour", "shadow": True},
        route=({"key": "token.subject", "rate": "1000/second"},),
    )
    for _ in range(4):
        assert await limits.charge_source(arrived()) is None
        await limits.admit(identified("s"))
    assert limits.charged == {"source.address": 4, "token.subject": 2 * 2, "route": 1}
    assert limits.would_have_refused == {"route": 3}
    assert limits.buckets == 4
    assert limits.storage_up is None


async def test_a_single_rule_is_counted_too():
    limits = built({"key": "token.subject", "rate": "1/hour", "burst": 2})
    for _ in range(4):
        await limits.admit(identified("s"))
    assert limits.charged == {"token.subject": 2}


async def test_workers_of_one_machine_charge_the_same_buckets(tmp_path):
    storage = f"machine://{tmp_path}/machine"
    one, two = (built({"key": "token.subject", "rate": "2/hour"}, storage=storage) for _ in range(2))
    assert isinstance(await one.admit(identified("s")), Admitted)
    assert (await two.admit(identified("s"))).limit.remaining == 0
    assert (await one.admit(identified("s"))).reason is Reason.RATE_LIMITED
    assert isinstance(await two.admit(identified("t")), Admitted)
    await one.close()
    await two.close()


@pytest.mark.parametrize(("on_failure", "reason"), [("refuse", Reason.OVERLOADED), ("local", None)])
async def test_a_machine_s_table_that_cannot_be_used(tmp_path, on_failure, reason):
    limits = built(
        {"key": "token.subject", "rate": "1/hour", "on_failure": on_failure}, storage=f"machine://{tmp_path}/machine"
    )
    await limits.admit(identified("s"))
    (table,) = (tmp_path / "machine").iterdir()
    os.truncate(table, 4096)
    assert getattr(await limits.admit(identified("s")), "reason", None) is reason
    await limits.close()
