"""Admitted → Authorized or a refusal, with the decision for the log."""

import json
from itertools import count
from types import SimpleNamespace

import msgspec
import pytest

from ztproxy.config.policies import PolicySettings
from ztproxy.model import Authorized, Decision, LimitStatus, Reason, Refusal
from ztproxy.policy.engine import Evaluation, Sight
from ztproxy.policy.memo import Memo
from ztproxy.policy.reference import example
from ztproxy.policy.stage import Authorizer


class Scripted:
    """An engine that answers as it is told, and remembers what it was asked."""

    revision = "rev-1"
    reads: frozenset[tuple[str, ...]] = frozenset()

    def __init__(self, evaluation, sight=None):
        self.sight = sight
        self.evaluation = evaluation
        self.asked = []

    async def evaluate(self, document, now_ns):
        self.asked.append((document, now_ns))
        return self.evaluation

    async def close(self):
        pass


LIMIT = LimitStatus("token.subject", 10, 9, 0.1)


async def authorize(value=None, problem=None, cause="", headers=frozenset(), admitted=None):
    engine = Scripted(Evaluation(value, problem, cause))
    stage = Authorizer(engine, {"orders": headers}, clock=count(0.0, 0.25).__next__)
    outcome = await stage.authorize(admitted or msgspec.structs.replace(example(), limit=LIMIT))
    return outcome, engine


async def test_what_is_allowed_passes_with_its_decision():
    result = b'{"allow":true,"reasons":["clerk"],"headers":{"X-Role":"clerk"},"max_age":5}'
    outcome, engine = await authorize(result, headers=frozenset({"x-role"}))
    admitted = msgspec.structs.replace(example(), limit=LIMIT)
    [(document, now_ns)] = engine.asked
    assert outcome == Authorized(
        admitted.arrived,
        "orders",
        admitted.certificate,
        admitted.token,
        LIMIT,
        Decision(True, ("clerk",), ((b"x-role", b"clerk"),), 5.0, "rev-1", document, result, 0.25),
    )
    assert now_ns == 1788250200 * 10**9
    assert json.loads(document)["request"]["id"] == admitted.arrived.request_id


async def test_a_bare_true_passes():
    outcome, _ = await authorize(b"true")
    assert isinstance(outcome, Authorized)


async def test_what_is_denied_is_refused_with_its_reasons():
    outcome, engine = await authorize(b'{"allow":false,"reasons":["no role","not now"]}')
    assert outcome.reason is Reason.POLICY_DENIED
    assert outcome.reasons == ("no role", "not now")
    assert outcome.detail == ""
    assert outcome.cause == "no role; not now"
    assert outcome.limit == LIMIT
    assert outcome.decision.allow is False
    assert outcome.decision.result == b'{"allow":false,"reasons":["no role","not now"]}'
    assert outcome.decision.document == engine.asked[0][0]


@pytest.mark.parametrize(
    "problem",
    [
        Reason.POLICY_UNDEFINED,
        Reason.POLICY_ERROR,
        Reason.POLICY_TIMEOUT,
        Reason.POLICY_UNAVAILABLE,
        Reason.POLICY_MALFORMED,
    ],
)
async def test_a_question_without_an_answer_is_refused(problem):
    outcome, _ = await authorize(None, problem, "authz.rego:7: divide by zero")
    assert outcome.reason is problem
    assert outcome.detail == ""
    assert outcome.cause == "authz.rego:7: divide by zero"
    assert (outcome.decision.allow, outcome.decision.revision, outcome.decision.result) == (False, "rev-1", b"null")
    assert outcome.decision.duration == 0.25


async def test_a_problem_outweighs_a_value():
    outcome, _ = await authorize(b"true", Reason.POLICY_ERROR)
    assert outcome.reason is Reason.POLICY_ERROR


async def test_neither_value_nor_problem_is_undefined():
    outcome, _ = await authorize(None, None)
    assert outcome.reason is Reason.POLICY_UNDEFINED


async def test_what_is_no_decision_is_refused_and_kept_for_the_log():
    outcome, _ = await authorize(b'{"allow":true,"limit":{}}')
    assert outcome.reason is Reason.POLICY_MALFORMED
    assert "limit" in outcome.cause
    assert outcome.detail == ""
    assert outcome.reasons == ()
    assert outcome.decision.allow is False
    assert outcome.decision.result == b'{"allow":true,"limit":{}}'


async def test_a_huge_result_does_not_fill_the_log():
    outcome, _ = await authorize(b'"' + b"x" * 10**6 + b'"')
    assert outcome.reason is Reason.POLICY_MALFORMED
    assert outcome.decision.result == b"null"


async def test_a_document_that_cannot_be_written_is_refused_before_anyone_is_asked():
    admitted = msgspec.structs.replace(example(), limit=LIMIT)
    arrived = msgspec.structs.replace(admitted.arrived, query="%")
    outcome, engine = await authorize(b"true", admitted=msgspec.structs.replace(admitted, arrived=arrived))
    assert isinstance(outcome, Refusal)
    assert outcome.reason is Reason.REQUEST_AMBIGUOUS
    assert outcome.limit == LIMIT
    assert engine.asked == []


def test_it_does_not_suspend_when_the_engine_does_not():
    stage = Authorizer(Scripted(Evaluation(b"true", None)), {"orders": frozenset()})
    coroutine = stage.authorize(example())
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    assert isinstance(done.value.value, Authorized)


def settings(*names, **policy):
    route = SimpleNamespace(name="orders", policy_headers=names)
    return SimpleNamespace(
        routes=(route,), logs=SimpleNamespace(decisions=None), policy=PolicySettings.model_validate(policy)
    )


async def test_it_is_built_from_the_routes():
    stage = Authorizer.build(settings("X-Role"), Scripted(Evaluation(b'{"allow":true,"headers":{"x-ROLE":"a"}}', None)))
    outcome = await stage.authorize(example())
    assert outcome.decision.headers == ((b"x-role", b"a"),)


@pytest.mark.parametrize("name", ["Content-Length", "Host", "X-Forwarded-For", "Connection", "X-Ztproxy-Assertion"])
def test_a_route_cannot_declare_what_no_policy_may_set(name):
    with pytest.raises(ValueError, match="orders"):
        Authorizer.build(settings("X-Role", name), Scripted(Evaluation(b"true", None)))


METHOD = Sight(frozenset({("request", "method")}), clock=False, repeatable=True)


def remembering(value=b"true", sight=METHOD, problem=None, recorded=False, headers=None, **memo):
    engine = Scripted(Evaluation(value if problem is None else None, problem), sight)
    kept = Memo(**{"entries": 64, "maximum_age": 10.0} | memo)
    declared = {"orders": frozenset({"x-role"})} if headers is None else headers
    return Authorizer(engine, declared, memo=kept, recorded=recorded), engine


def asking(**changes):
    admitted = example()
    return msgspec.structs.replace(admitted, arrived=msgspec.structs.replace(admitted.arrived, **changes))


async def test_what_was_decided_is_remembered_for_what_the_policy_looks_at():
    stage, engine = remembering(b'{"allow":true,"reasons":["clerk"],"headers":{"x-role":"a"}}')
    first = await stage.authorize(asking())
    second = await stage.authorize(asking(request_id="another", path="/other"))
    third = await stage.authorize(asking(method="POST"))
    assert [one.decision.memo for one in (first, second, third)] == ["miss", "hit", "miss"]
    assert second.arrived.request_id == "another"
    assert msgspec.structs.replace(second.decision, memo="miss", duration=first.decision.duration) == first.decision
    assert second.decision.duration == 0.0
    assert (len(engine.asked), stage.memo.hits, stage.memo.misses, stage.memo.entries) == (2, 1, 2, 2)


async def test_a_denial_is_remembered_and_carries_each_requests_own_limit():
    stage, engine = remembering(b'{"allow":false,"reasons":["no"]}')
    await stage.authorize(example())
    outcome = await stage.authorize(msgspec.structs.replace(example(), limit=LIMIT))
    assert (outcome.reason, outcome.reasons, outcome.limit) == (Reason.POLICY_DENIED, ("no",), LIMIT)
    assert (outcome.decision.memo, outcome.decision.allow, len(engine.asked)) == ("hit", False, 1)


async def test_where_decisions_are_recorded_each_request_has_its_own_document():
    stage, _ = remembering(recorded=True)
    await stage.authorize(asking())
    outcome = await stage.authorize(asking(request_id="another"))
    assert outcome.decision.memo == "hit"
    assert json.loads(outcome.decision.document)["request"]["id"] == "another"


async def test_a_policy_that_reads_nothing_is_asked_once():
    stage, engine = remembering(sight=Sight(frozenset(), clock=False, repeatable=True))
    outcomes = [await stage.authorize(asking(path=path, segments=(path[1:],))) for path in ("/a", "/b", "/c")]
    assert all(isinstance(outcome, Authorized) for outcome in outcomes)
    assert len(engine.asked) == 1


async def test_only_what_is_looked_at_is_written():
    stage, engine = remembering(sight=Sight(frozenset({("token", "subject")}), clock=False, repeatable=True))
    await stage.authorize(asking())
    document = json.loads(engine.asked[0][0])
    assert document["token"] == {"subject": "alice"}
    assert (document["certificate"], document["request"]["headers"]) == (None, {})


@pytest.mark.parametrize("sight", [None, Sight(frozenset(), clock=False, repeatable=False)])
async def test_of_an_engine_that_may_not_repeat_itself_nothing_is_remembered(sight):
    stage, engine = remembering(sight=sight)
    outcomes = [await stage.authorize(asking()) for _ in range(2)]
    assert [one.decision.memo for one in outcomes] == ["off", "off"]
    assert (len(engine.asked), stage.memo) == (2, None)


async def test_the_clock_moves_in_steps_and_is_part_of_what_was_asked():
    stage, engine = remembering(sight=Sight(frozenset(), clock=True, repeatable=True))
    for wall in (100.0, 100.9, 101.0, 100.5):
        await stage.authorize(asking(wall=wall))
    assert [now for _, now in engine.asked] == [100 * 10**9, 101 * 10**9]


async def test_a_query_that_cannot_be_read_is_refused_whatever_is_remembered():
    stage, _ = remembering()
    await stage.authorize(asking())
    outcome = await stage.authorize(asking(query="%"))
    assert outcome.reason is Reason.REQUEST_AMBIGUOUS


async def test_the_settings_can_turn_it_off():
    engine = Scripted(Evaluation(b"true", None), METHOD)
    assert Authorizer.build(settings(), engine).memo is not None
    assert Authorizer.build(settings(memo="off"), engine).memo is None


STEP_UP = b'{"allow":true,"step_up":{"acr_values":["high"],"max_age":60}}'


def logged_in(**claims):
    admitted = example()
    return msgspec.structs.replace(
        admitted, token=msgspec.structs.replace(admitted.token, claims={**admitted.token.claims, **claims})
    )


async def test_a_login_as_the_decision_wants_it_passes():
    now = example().arrived.wall
    outcome, _ = await authorize(STEP_UP, admitted=logged_in(acr="high", auth_time=now - 60))
    assert isinstance(outcome, Authorized)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"acr": "high"},
        {"auth_time": 0},
        {"acr": "high", "auth_time": 61},
        {"acr": "low", "auth_time": 0},
        {"acr": ["high"], "auth_time": 0},
        {"acr": "high", "auth_time": True},
        {"acr": "high", "auth_time": "0"},
    ],
)
async def test_any_other_login_has_to_be_made_again(claims):
    if type(claims.get("auth_time")) is int:
        claims = claims | {"auth_time": example().arrived.wall - claims["auth_time"]}
    outcome, _ = await authorize(STEP_UP, admitted=logged_in(**claims))
    assert outcome.reason is Reason.STEP_UP_REQUIRED
    assert (outcome.step_up.acr_values, outcome.step_up.max_age) == (("high",), 60)
    assert outcome.decision.allow is True


async def test_who_is_known_by_no_login_has_to_make_one():
    outcome, _ = await authorize(STEP_UP, admitted=msgspec.structs.replace(example(), token=None))
    assert outcome.reason is Reason.STEP_UP_REQUIRED


async def test_a_login_that_would_do_is_denied_what_it_may_not():
    now = example().arrived.wall
    result = STEP_UP.replace(b"true", b"false")
    outcome, _ = await authorize(result, admitted=logged_in(acr="high", auth_time=now))
    assert outcome.reason is Reason.POLICY_DENIED


async def test_a_remembered_decision_lets_no_login_grow_too_old():
    stage, engine = remembering(STEP_UP)
    admitted = logged_in(acr="high", auth_time=example().arrived.wall)
    assert isinstance(await stage.authorize(admitted), Authorized)
    later = msgspec.structs.replace(admitted.arrived, wall=admitted.arrived.wall + 61)
    refusal = await stage.authorize(msgspec.structs.replace(admitted, arrived=later))
    assert refusal.reason is Reason.STEP_UP_REQUIRED
    assert len(engine.asked) == 1
