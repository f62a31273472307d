"""A remembered decision is nobody else's, and ends with what it rests on."""

import msgspec
import pytest

from ztproxy.model import Authorized, Reason
from ztproxy.policy.embedded import EmbeddedEngine
from ztproxy.policy.library import LIBRARY
from ztproxy.policy.memo import Memo
from ztproxy.policy.reference import example
from ztproxy.policy.stage import Authorizer

pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason="the engine is not built: pip install -e .")

replace = msgspec.structs.replace
DECLARED = {"orders": frozenset({"x-role"}), "other": frozenset()}


@pytest.fixture
def stage(tmp_path):
    def make(rules, memo=None, **changes):
        (tmp_path / "policy.rego").write_text(f"package z\n\n{rules}\n")
        engine = EmbeddedEngine.load(tmp_path, "z/decision", 1.0)
        return Authorizer(engine, DECLARED, memo=memo or Memo(64, 10.0), recorded=False, **changes)

    return make


def later(admitted, seconds):
    arrived = admitted.arrived
    return replace(
        admitted, arrived=replace(arrived, wall=arrived.wall + seconds, monotonic=arrived.monotonic + seconds)
    )


def token(**changes):
    changed = replace(example().token, **changes)
    return replace(example(), token=replace(changed, digest=repr(changed).encode()))


async def words(stage, *asked):
    return [(await stage.authorize(one)).decision.memo for one in asked]


ALLOWED = 'decision := true if input.token.subject == "alice"'


async def test_it_ends_with_the_token(stage):
    ends = token(expires_at=example().arrived.wall + 2)
    assert await words(stage(ALLOWED), ends, later(ends, 1.9), later(ends, 2.0)) == ["miss", "hit", "miss"]


async def test_it_ends_with_the_certificate(stage):
    whole = example()
    ends = replace(whole, certificate=replace(whole.certificate, not_after=whole.arrived.wall + 2))
    assert await words(stage(ALLOWED), ends, later(ends, 1.9), later(ends, 2.0)) == ["miss", "hit", "miss"]


async def test_it_ends_when_the_policy_says_so(stage):
    asked = example()
    rules = 'decision := {"allow": input.request.method == "GET", "max_age": 2}'
    assert await words(stage(rules), asked, later(asked, 1.9), later(asked, 2.0)) == ["miss", "hit", "miss"]
    never = 'decision := {"allow": input.request.method == "GET", "max_age": 0}'
    assert await words(stage(never), asked, asked) == ["miss", "miss"]


async def test_it_ends_with_its_configured_bound(stage):
    asked = example()
    assert await words(stage(ALLOWED), asked, later(asked, 9.9), later(asked, 10.0)) == ["miss", "hit", "miss"]


async def test_it_ends_with_the_policys_revision_even_in_a_memo_that_lives_on(stage):
    memo = Memo(64, 10.0)
    assert isinstance(await stage(ALLOWED, memo).authorize(example()), Authorized)
    outcome = await stage(ALLOWED.replace("alice", "bob"), memo).authorize(example())
    assert outcome.reason is Reason.POLICY_UNDEFINED


async def test_time_rules_end_when_their_time_does(stage):
    end = int(example().arrived.wall + 5) * 10**9
    remembering = stage(f"default decision := false\ndecision := true if time.now_ns() < {end}")
    passed = [isinstance(await remembering.authorize(later(example(), 0.3 * n)), Authorized) for n in range(30)]
    assert passed == [0.3 * n < 5 for n in range(30)]


async def test_the_same_subject_at_another_issuer_is_somebody_else(stage):
    rules = 'decision := input.token.subject == "alice" if input.token.issuer == "https://login.corp.example"'
    remembering = stage(rules)
    assert isinstance(await remembering.authorize(example()), Authorized)
    outcome = await remembering.authorize(token(issuer="https://evil.example"))
    assert outcome.reason is Reason.POLICY_UNDEFINED


async def test_a_claim_that_changes_is_seen_at_once(stage):
    remembering = stage('default decision := false\ndecision := true if "clerks" in input.token.claims.groups')
    assert isinstance(await remembering.authorize(example()), Authorized)
    assert (await remembering.authorize(token(claims={"groups": []}))).reason is Reason.POLICY_DENIED


@pytest.mark.parametrize(("good", "bad"), [(1, True), (1, 1.5), (1, "1"), (True, 1), (None, 0), (0, False)])
async def test_claims_that_collide_in_a_naive_key_do_not(stage, good, bad):
    written = msgspec.json.encode(good).decode()
    remembering = stage(f"default decision := false\ndecision := true if input.token.claims.level == {written}")
    assert isinstance(await remembering.authorize(token(claims={"level": good})), Authorized)
    assert (await remembering.authorize(token(claims={"level": bad}))).reason is Reason.POLICY_DENIED
    assert (await remembering.authorize(token(claims={}))).reason is Reason.POLICY_DENIED


async def test_what_one_route_may_set_another_may_not(stage):
    remembering = stage('decision := {"allow": true, "headers": {"x-role": input.token.subject}}')
    assert isinstance(await remembering.authorize(example()), Authorized)
    outcome = await remembering.authorize(replace(example(), route="other"))
    assert outcome.reason is Reason.POLICY_MALFORMED


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ("decision := 1 / to_number(input.request.port - 443)", Reason.POLICY_ERROR),
        ("decision := true if input.request.port == 1", Reason.POLICY_UNDEFINED),
        ('decision := {"allow": "true", "p": input.request.port}', Reason.POLICY_MALFORMED),
    ],
)
async def test_what_is_no_decision_is_never_remembered(stage, rules, reason):
    remembering = stage(rules)
    for _ in range(3):
        outcome = await remembering.authorize(example())
        assert (outcome.reason, outcome.decision.memo) == (reason, "miss")
    assert remembering.memo.entries == 0


@pytest.mark.parametrize(
    "rules",
    [
        'decision := true if rand.intn("x", 2) >= 0',
        'decision := true if f\nf if uuid.rfc4122("x") != ""',
        'decision := true if io.jwt.decode_verify("x", {"secret": "x"})[0] == false',
    ],
)
async def test_a_policy_that_may_not_repeat_itself_is_never_remembered(stage, rules):
    assert await words(stage(rules), example(), example()) == ["off", "off"]


async def test_strangers_neither_fill_it_nor_displace_what_is_in_use(stage):
    remembering = stage("decision := true if input.request.path")
    assert await words(remembering, example(), example()) == ["miss", "hit"]
    for number in range(1000):
        path = f"/{number}"
        stranger = replace(example(), token=None, certificate=None)
        await remembering.authorize(replace(stranger, arrived=replace(stranger.arrived, path=path)))
    assert remembering.memo.entries <= 64
    assert await words(remembering, example()) == ["hit"]
