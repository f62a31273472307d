"""Nothing but a decision that says so in the agreed words lets a request pass, with a real OPA in the process."""

import time

import msgspec
import pytest

from ztproxy.model import Authorized, Reason, Refusal
from ztproxy.policy.embedded import EmbeddedEngine, PolicyLoadError
from ztproxy.policy.library import LIBRARY
from ztproxy.policy.reference import example
from ztproxy.policy.stage import Authorizer

pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason="the engine is not built: pip install -e .")


@pytest.fixture
async def stage(tmp_path):
    engines = []

    def make(rules, deadline=1.0, headers=frozenset()):
        (tmp_path / "authz.rego").write_text(f"package ztproxy.authz\n\n{rules}\n")
        engines.append(EmbeddedEngine.load(tmp_path, "ztproxy/authz/decision", deadline))
        return Authorizer(engines[-1], {"orders": headers})

    yield make
    for engine in engines:
        await engine.close()


def asked(**changes):
    return msgspec.structs.replace(example(), arrived=msgspec.structs.replace(example().arrived, **changes))


@pytest.mark.parametrize("decision", ["true", '{"allow": true}', '{"allow": true, "reasons": {"b", "a"}}'])
async def test_what_lets_pass(stage, decision):
    assert isinstance(await stage(f"decision := {decision}").authorize(example()), Authorized)


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ("decision := false", Reason.POLICY_DENIED),
        ('decision := {"allow": false}', Reason.POLICY_DENIED),
        ('decision := true if input.request.method == "NONE"', Reason.POLICY_UNDEFINED),
        ("decision := true if input.request.no_such_field", Reason.POLICY_UNDEFINED),
        ("decision := null", Reason.POLICY_MALFORMED),
        ('decision := "true"', Reason.POLICY_MALFORMED),
        ("decision := 1", Reason.POLICY_MALFORMED),
        ("decision := {}", Reason.POLICY_MALFORMED),
        ("decision := []", Reason.POLICY_MALFORMED),
        ("decision := {true}", Reason.POLICY_MALFORMED),
        ("decision contains true", Reason.POLICY_MALFORMED),
        ('decision := {"allow": "true"}', Reason.POLICY_MALFORMED),
        ('decision := {"allow": 1}', Reason.POLICY_MALFORMED),
        ('decision := {"allow": null}', Reason.POLICY_MALFORMED),
        ('decision := {"allow": {true}}', Reason.POLICY_MALFORMED),
        ('decision := {"allow": true, "alow": false}', Reason.POLICY_MALFORMED),
        ('decision := {"allow": true, "deny": ["x"]}', Reason.POLICY_MALFORMED),
        ('decision := {"allow": true, "reasons": [7]}', Reason.POLICY_MALFORMED),
        ('decision := {"allow": true, "reasons": "x"}', Reason.POLICY_MALFORMED),
        ('decision := {"allow": true, "reasons": {"x": "y"}}', Reason.POLICY_MALFORMED),
        ('decision := {"allow": true, "max_age": -1}', Reason.POLICY_MALFORMED),
        ('decision := {"allow": true, "limit": {"key": "k", "rate": 1}}', Reason.POLICY_MALFORMED),
        ('decision := {"allow": true, "step_up": {}}', Reason.POLICY_MALFORMED),
        ('decision := {"allow": true, "step_up": "high"}', Reason.POLICY_MALFORMED),
        ('decision := {"allow": true, "headers": {"X-Role": "admin"}}', Reason.POLICY_MALFORMED),
        ("decision := {1: true}", Reason.POLICY_ERROR),
        ("decision := true if 1 / count([]) == 1", Reason.POLICY_ERROR),
        ('decision := true if not to_number("x") == 1', Reason.POLICY_ERROR),
        ("decision := true\ndecision := false if input.request", Reason.POLICY_ERROR),
        pytest.param(
            "decision := true if count(numbers.range(1, 100000000)) > 1", Reason.POLICY_TIMEOUT, marks=pytest.mark.slow
        ),
    ],
)
async def test_what_does_not(stage, rules, reason):
    refusal = await stage(rules, deadline=0.5).authorize(example())
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason, refusal.cause
    assert refusal.decision.allow is False
    assert refusal.detail == "", "the policy's insides are for the operator"


@pytest.mark.parametrize("name", ["Content-Length", "Transfer-Encoding", "Host", "X-Forwarded-For", "Client-Cert"])
async def test_no_decision_frames_a_message_or_poses_as_the_proxy(stage, name):
    authorizer = stage(
        f'decision := {{"allow": true, "headers": {{"{name}": "1"}}}}', headers=frozenset({name.lower()})
    )
    assert (await authorizer.authorize(example())).reason is Reason.POLICY_MALFORMED


async def test_a_request_cannot_break_out_of_a_header_that_repeats_it(stage):
    rules = 'decision := {"allow": true, "headers": {"X-Name": input.request.query.name[0]}}'
    authorizer = stage(rules, headers=frozenset({"x-name"}))
    assert isinstance(await authorizer.authorize(asked(query="name=alice")), Authorized)
    for name in ("a%0D%0AX-Role:+admin", "a%0A", "a%00", "%C4%8D%C4%8A", "+a"):
        assert (await authorizer.authorize(asked(query=f"name={name}"))).reason is Reason.POLICY_MALFORMED, name


async def test_a_request_cannot_forge_a_line_through_a_reason_that_repeats_it(stage):
    authorizer = stage('decision := {"allow": false, "reasons": [input.request.query.name[0]]}')
    assert (await authorizer.authorize(asked(query="name=alice"))).reasons == ("alice",)
    for name in ("a%0Ab", "%1b%5B2J", "%C2%9B", "%E2%80%AE"):
        refusal = await authorizer.authorize(asked(query=f"name={name}"))
        assert (refusal.reason, refusal.reasons) == (Reason.POLICY_MALFORMED, ()), name


@pytest.mark.parametrize("length", [4096, 4097, 30_000])
async def test_a_long_value_does_not_make_a_long_reason(stage, length):
    authorizer = stage('decision := {"allow": false, "reasons": [input.request.query.name[0]]}')
    refusal = await authorizer.authorize(asked(query="name=" + "x" * length))
    assert refusal.reason is (Reason.POLICY_DENIED if length <= 4096 else Reason.POLICY_MALFORMED)


@pytest.mark.slow
async def test_a_decision_longer_than_any_is_refused(stage):
    rules = 'decision := {"allow": true, "reasons": [r | some i in numbers.range(1, 70000); r := sprintf("%d", [i])]}'
    refusal = await stage(rules).authorize(example())
    assert refusal.reason in {Reason.POLICY_MALFORMED, Reason.POLICY_ERROR}


async def test_values_keep_their_types(stage):
    """In Python 1, 1.0 and True are equal; in the policy's input they are not."""
    authorizer = stage("decision := true if input.token.claims.admin == true")
    for admin, passes in ((True, True), (1, False), (1.0, False), ("true", False), (True, True)):
        token = msgspec.structs.replace(example().token, claims={"admin": admin})
        outcome = await authorizer.authorize(msgspec.structs.replace(example(), token=token))
        assert isinstance(outcome, Authorized) == passes, admin


@pytest.mark.parametrize(
    "rules",
    [
        "decision := true if not is_revokd(input.token)",
        'decision := http.send({"method": "get", "url": "http://127.0.0.1:1/"}).body',
        'decision := true if opa.runtime().env.HOME == "x"',
        'decision := true if net.lookup_ip_addr("localhost")',
        "decision := true if input.x == inptu.y",
        "decision := ",
        "other := true",
    ],
)
async def test_a_policy_that_could_only_fail_later_does_not_load(stage, rules):
    with pytest.raises(PolicyLoadError):
        stage(rules)


@pytest.mark.slow
async def test_a_policy_that_loops_holds_nothing_up(stage):
    authorizer = stage(
        'decision := true if input.request.method == "GET"\n'
        'decision := count(numbers.range(1, 100000000)) if input.request.method == "SLOW"',
        deadline=0.5,
    )
    started = time.monotonic()
    refusal = await authorizer.authorize(asked(method="SLOW"))
    assert refusal.reason is Reason.POLICY_TIMEOUT
    assert time.monotonic() - started < 3
    assert isinstance(await authorizer.authorize(example()), Authorized)
