"""`engine: server` with a real OPA server: the same answers as the embedded engine, and what happens when it dies."""

import asyncio
import json
import signal
import subprocess
import time
from pathlib import Path

import msgspec
import pytest

from tests.functional.ports import free_port
from tests.opa import BINARY, Server, need_binary
from ztproxy.config.policies import PolicyServer, PolicySettings
from ztproxy.model import Authorized, Reason
from ztproxy.policy.embedded import EmbeddedEngine
from ztproxy.policy.library import LIBRARY
from ztproxy.policy.reference import SCHEMA, example, example_document
from ztproxy.policy.server import ServerEngine
from ztproxy.policy.stage import Authorizer

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "policies"
POLICY = """package ztproxy.authz

decision := true if input.request.method == "ALLOW"
decision := "true" if input.request.method == "STRING"
decision := {"allow": true, "limit": {}} if input.request.method == "LIMIT"
decision := {"allow": false, "reasons": ["no"]} if input.request.method == "DENY"
decision := 1 / count(input.request.query) if input.request.method == "ERROR"
decision := count(numbers.range(1, 100000000)) if input.request.method == "SLOW"
decision := input.token.claims if input.request.method == "CLAIMS"
decision := input.request.headers if input.request.method == "CONFLICT"
decision := input.request.query if input.request.method == "CONFLICT"
"""


@pytest.fixture
async def server(tmp_path):
    need_binary()
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "authz.rego").write_text(POLICY)
    server = Server(tmp_path / "policies", free_port())
    await server.start()
    yield server
    server.kill()


@pytest.fixture
async def engine(server):
    engine = build(server)
    yield engine
    await engine.close()


def build(server, deadline=1.0, token=None):
    settings = PolicySettings(engine="server", deadline=deadline, server=PolicyServer(url=server.url))
    return ServerEngine.build(settings, token)


def asking(method):
    document = json.loads(example_document())
    document["request"]["method"] = method
    document["request"]["query"] = {}
    return msgspec.json.encode(document)


CASES = [
    ("ALLOW", b"true", None),
    ("DENY", b'{"allow":false,"reasons":["no"]}', None),
    ("STRING", b'"true"', None),
    ("LIMIT", b'{"allow":true,"limit":{}}', None),
    ("OTHER", None, Reason.POLICY_UNDEFINED),
    ("ERROR", None, Reason.POLICY_ERROR),
    ("CONFLICT", None, Reason.POLICY_ERROR),
]


async def test_answers(engine):
    for method, value, problem in CASES:
        evaluation = await engine.evaluate(asking(method), 0)
        assert (evaluation.value, evaluation.problem) == (value, problem), (method, evaluation.cause)
    assert "divide by zero" in (await engine.evaluate(asking("ERROR"), 0)).cause


@pytest.mark.skipif(not LIBRARY.exists(), reason="the engine is not built: pip install -e .")
async def test_both_engines_answer_alike(engine, tmp_path):
    embedded = EmbeddedEngine.load(tmp_path / "policies", "ztproxy/authz/decision", 1.0)
    for method in [*(case[0] for case in CASES), "CLAIMS"]:
        served, inside = await engine.evaluate(asking(method), 0), await embedded.evaluate(asking(method), 0)
        assert served.problem == inside.problem, method
        assert json.loads(served.value or b"null") == json.loads(inside.value or b"null"), method
    await embedded.close()


async def test_a_slow_policy_is_refused_at_the_deadline(server):
    engine = build(server, deadline=0.5)
    await engine.evaluate(asking("ALLOW"), 0)
    started = time.monotonic()
    assert (await engine.evaluate(asking("SLOW"), 0)).problem is Reason.POLICY_TIMEOUT
    assert time.monotonic() - started < 3
    assert (await engine.evaluate(asking("ALLOW"), 0)).problem is None
    await engine.close()


async def test_the_example_is_served(tmp_path):
    need_binary()
    server = Server(EXAMPLE, free_port(), "--ignore=*_test.rego")
    await server.start()
    engine = build(server)
    stage = Authorizer(engine, {"orders": frozenset()})
    outcome = await stage.authorize(example())
    assert isinstance(outcome, Authorized), outcome
    assert outcome.decision.reasons == ("the role clerk permits this",)
    server.kill()
    assert (await stage.authorize(example())).reason is Reason.POLICY_UNAVAILABLE
    await engine.close()


def opa(*arguments):
    need_binary()
    done = subprocess.run([str(BINARY), *map(str, arguments)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_example_is_formatted_as_opa_does():
    assert opa("fmt", "--list", EXAMPLE) == (0, "")


def test_the_example_fits_the_inputs_schema():
    assert opa("check", "--strict", "--schema", SCHEMA, EXAMPLE) == (0, "")


def test_the_schema_finds_a_field_that_no_input_has(tmp_path):
    (tmp_path / "authz.rego").write_text("package ztproxy.authz\n\ndecision := true if not input.request.pth\n")
    code, said = opa("check", "--strict", "--schema", SCHEMA, tmp_path)
    assert code != 0
    assert "undefined ref: input.request.pth" in said


async def test_a_token_that_opa_demands(tmp_path):
    need_binary()
    (tmp_path / "p.rego").write_text(
        "package system.authz\n\ndefault allow := false\n\n"
        'allow if input.identity == "s3cret"\n\nallow if input.path == ["health"]\n'
    )
    (tmp_path / "authz.rego").write_text("package ztproxy.authz\n\ndecision := true\n")
    server = Server(tmp_path, free_port(), "--authentication=token", "--authorization=basic")
    await server.start()
    for token, problem in (("s3cret", None), ("other", Reason.POLICY_UNAVAILABLE), (None, Reason.POLICY_UNAVAILABLE)):
        engine = build(server, token=token)
        assert (await engine.evaluate(asking("ALLOW"), 0)).problem is problem, token
        await engine.close()
    server.kill()


async def test_killed_under_load_refuses_at_once_and_recovers_without_restart(server):
    engine = build(server, deadline=0.5)
    outcomes, slowest, running = [], [0.0], True

    async def client():
        while running:
            started = time.monotonic()
            evaluation = await engine.evaluate(asking("ALLOW"), 0)
            slowest[0] = max(slowest[0], time.monotonic() - started)
            outcomes.append(evaluation.problem)
            await asyncio.sleep(0.001)

    async def until(wanted, count):
        async with asyncio.timeout(30):
            while outcomes[-count:] != [wanted] * count:
                await asyncio.sleep(0.005)

    clients = [asyncio.create_task(client()) for _ in range(16)]
    await until(None, 50)
    server.kill()
    await until(Reason.POLICY_UNAVAILABLE, 200)
    await server.start()
    await until(None, 200)
    running = False
    await asyncio.gather(*clients)
    assert set(outcomes) <= {None, Reason.POLICY_UNAVAILABLE, Reason.POLICY_TIMEOUT}
    assert slowest[0] < 3, "nothing hangs"
    await engine.close()


async def test_stopped_it_times_out_and_goes_on_where_it_was(server):
    engine = build(server, deadline=0.2)
    await engine.evaluate(asking("ALLOW"), 0)
    server.signal(signal.SIGSTOP)
    started = time.monotonic()
    evaluations = await asyncio.gather(*(engine.evaluate(asking("ALLOW"), 0) for _ in range(100)))
    assert {e.problem for e in evaluations} <= {Reason.POLICY_TIMEOUT, Reason.POLICY_UNAVAILABLE}
    assert time.monotonic() - started < 3
    server.signal(signal.SIGCONT)
    async with asyncio.timeout(30):
        while (await engine.evaluate(asking("ALLOW"), 0)).problem is not None:
            await asyncio.sleep(0.01)
    await engine.close()
