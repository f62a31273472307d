"""Claim: neither a hostile input nor a bad policy gets more out of the embedded engine than a refusal."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from ztproxy.model import Reason
from ztproxy.policy.embedded import EmbeddedEngine, PolicyLoadError

NOW = 1_700_000_000 * 10**9
ECHO = 'decision := {"allow": input.token.subject == "alice", "subject": input.token.subject}'
PAIRS = "decision := count([1 | some i in data.n; some j in data.n; i + j == input.a])"


def engine(directory: Path, rules: str, deadline: float = 5.0, **options) -> EmbeddedEngine:
    directory.mkdir(exist_ok=True)
    (directory / "policy.rego").write_text(f"package z\n\n{rules}\n")
    return EmbeddedEngine.load(directory, "z/decision", deadline, **options)


def slow_engine(directory: Path, deadline: float) -> EmbeddedEngine:
    (directory / "data.json").write_text(msgspec.json.encode({"n": list(range(20_000))}).decode())
    return engine(directory, PAIRS, deadline)


def token(subject: str) -> bytes:
    return b'{"token": {"subject": ' + subject.encode() + b"}}"


@pytest.mark.parametrize(
    "document",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"token": {"subject": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b'{"unread": ' + b"[" * 100_000 + b"]" * 100_000 + b', "token": {"subject": "alice"}}',
        b'{"token": {"subject": "' + b"a" * 3_000_000 + b'"}}',
        b'{"unread": "' + b"a" * 3_000_000 + b'", "token": {"subject": "alice"}}',
        b'{"token": {"subject": "alice", "subject": "bob"}}',
        b'{"token": {"subject": "bob"}, "token": {"subject": "alice"}}',
        b'{"token": {"subject": "bob", "subj\\u0065ct": "alice"}}',
        token('"\\ud800"'),
        token('"alice\\udc00"'),
        b'{"token": {"subject": "\xff"}}',
        b'{"token": {"subject": "\xc0\x80"}}',
        b'{"token": {"subject": "\xed\xa0\x80"}}',
        b'{"token": {"subject": "a\x00b"}}',
        b'{"token": {"subject": "alice"}} {"token": {"subject": "alice"}}',
        b'{"token": {"subject": 1e1000000000}}',
        b'{"token": {"subject": NaN}}',
        b"\xef\xbb\xbf" + token('"alice"'),
        token('"alice"') + b"\x00",
        b"",
        b"\x00",
    ],
)
async def test_hostile_json_is_refused(tmp_path, document):
    answer = await engine(tmp_path, ECHO).evaluate(document, NOW)
    assert answer.value is None
    assert answer.problem is Reason.POLICY_ERROR


@pytest.mark.parametrize(
    "subject",
    [
        "a\x00b",
        "\x00",
        "x" * 30_000,
        "\u2028</script>",
        "é😀",
        '"\\/\b\f\n\r\t',
        "a\x7f\x1b[31m",
        "{}",
        "\ufffd",
        "\uffff",
    ],
)
async def test_strings_survive_unchanged(tmp_path, subject):
    document = msgspec.json.encode({"token": {"subject": subject}})
    answer = await engine(tmp_path, ECHO).evaluate(document, NOW)
    assert answer.value is not None
    assert msgspec.json.decode(answer.value) == {"allow": False, "subject": subject}


@pytest.mark.parametrize("number", ["123456789012345678901234567890", "1.10", "-0.5", "9007199254740993", "1e3"])
async def test_numbers_are_not_rounded(tmp_path, number):
    answer = await engine(tmp_path, "decision := input.n").evaluate(f'{{"n": {number}}}'.encode(), NOW)
    assert answer.value == number.encode()


@pytest.mark.parametrize(
    "expression",
    [
        'http.send({"method": "get", "url": "http://127.0.0.1:9/"}).status_code == 200',
        'net.lookup_ip_addr("localhost")',
        "opa.runtime().env.PATH",
        'json.match_schema({}, {"$ref": "file:///etc/hostname"})[0]',
        'json.verify_schema({"$ref": "file:///etc/hostname"})[0]',
        "not misspelt(input.a)",
        'not startwith(input.a, "x")',
    ],
)
def test_what_reaches_outside_or_is_misspelt_does_not_load(tmp_path, expression):
    with pytest.raises(PolicyLoadError) as failure:
        engine(tmp_path, f"decision if {{\n\t{expression}\n}}")
    problem = failure.value.problems[0]
    assert (problem.file, problem.row) == ("policy.rego", 4)
    assert problem.col >= 2
    assert "undefined function" in problem.message


def test_what_is_allowed_by_name_alone_loads(tmp_path):
    rules = "decision if opa.runtime().env.PATH"
    assert engine(tmp_path, rules, allow_builtins=("opa.runtime",)).description.inline is False
    with pytest.raises(PolicyLoadError):
        engine(tmp_path, rules, allow_builtins=("http.send",))


def test_a_rule_that_calls_itself_does_not_load(tmp_path):
    with pytest.raises(PolicyLoadError, match="recursive"):
        engine(tmp_path, "decision if other\n\nother if decision")


@pytest.mark.slow
async def test_a_policy_that_takes_long_is_refused_at_its_deadline_while_others_are_served(tmp_path):
    slow = slow_engine(tmp_path, 0.4)
    quick = engine(tmp_path / "quick", ECHO)
    loop = asyncio.get_running_loop()
    start = loop.time()
    pending = [asyncio.ensure_future(slow.evaluate(b'{"a": -1}', NOW)) for _ in range(4)]
    served = 0
    while not all(task.done() for task in pending):
        answer = await quick.evaluate(token('"alice"'), NOW)
        assert answer.problem is None
        served += 1
        await asyncio.sleep(0)
    took = loop.time() - start
    assert [task.result().problem for task in pending] == [Reason.POLICY_TIMEOUT] * 4
    assert 0.35 < took < 1.5
    assert served > 50


@pytest.mark.slow
async def test_a_flood_of_slow_evaluations_is_bounded(tmp_path):
    slow = slow_engine(tmp_path, 1.5)
    answers = await asyncio.gather(*(slow.evaluate(b'{"a": -1}', NOW) for _ in range(100)))
    problems = [answer.problem for answer in answers]
    assert 0 < problems.count(Reason.POLICY_UNAVAILABLE) <= 36  # 64 at a time; some may be over before the last asks
    assert set(problems) == {Reason.POLICY_UNAVAILABLE, Reason.POLICY_TIMEOUT}


def test_four_threads_never_mix_their_identities(tmp_path):
    shared = engine(tmp_path, ECHO)
    start = threading.Barrier(4)

    def ask(name: str) -> set[bytes | None]:
        async def all_of_them() -> set[bytes | None]:
            return {(await shared.evaluate(token(f'"{name}"'), NOW)).value for _ in range(300)}

        start.wait(5)
        return asyncio.run(all_of_them())

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, ["alice", "bob", "carol", "dave"]))
    assert answers[0] == {b'{"allow":true,"subject":"alice"}'}
    assert answers[1:] == [{b'{"allow":false,"subject":"%s"}' % name} for name in (b"bob", b"carol", b"dave")]


async def test_two_policies_do_not_see_each_other(tmp_path):
    one = engine(tmp_path / "one", "decision := [1, input.a]")
    two = engine(tmp_path / "two", "decision := [2, input.a]")
    assert (await two.evaluate(b'{"a": 5}', NOW)).value == b"[2,5]"
    assert (await one.evaluate(b'{"a": 5}', NOW)).value == b"[1,5]"
    await one.close()
    assert (await two.evaluate(b'{"a": 6}', NOW)).value == b"[2,6]"
    assert (await one.evaluate(b"{}", NOW)).problem is Reason.POLICY_UNAVAILABLE


@pytest.mark.slow
async def test_released_while_evaluating(tmp_path):
    slow = slow_engine(tmp_path, 0.3)
    pending = [asyncio.ensure_future(slow.evaluate(b'{"a": -1}', NOW)) for _ in range(3)]
    await asyncio.sleep(0)
    await slow.close()
    start = time.monotonic()
    answers = await asyncio.gather(*pending)
    assert {answer.problem for answer in answers} <= {Reason.POLICY_UNAVAILABLE, Reason.POLICY_TIMEOUT}
    assert time.monotonic() - start < 2


@pytest.mark.slow
async def test_a_caller_that_went_away_harms_nobody(tmp_path):
    slow = slow_engine(tmp_path, 0.1)
    gone = asyncio.ensure_future(slow.evaluate(b'{"a": -1}', NOW))
    await asyncio.sleep(0)
    gone.cancel()
    answer = await slow.evaluate(b'{"a": -1}', NOW)
    assert answer.problem is Reason.POLICY_TIMEOUT
