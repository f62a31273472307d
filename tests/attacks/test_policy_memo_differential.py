"""A remembered decision is the one that would have been made: over made-up policies and requests, with and without.

Each request goes to a memo, shared by two revisions of the policy, and to the engine alone; nothing may differ. So that
this says something, the same is run over memos that are broken in one thing each, and has to find every one of them.
"""

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests import generated_policies as generated
from ztproxy.model import Authorized, Refusal
from ztproxy.policy import key as key_module
from ztproxy.policy import shared as shared_module
from ztproxy.policy import stage
from ztproxy.policy.embedded import EmbeddedEngine
from ztproxy.policy.library import LIBRARY
from ztproxy.policy.memo import Memo
from ztproxy.policy.places import below
from ztproxy.policy.stage import Authorizer

pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason="the engine is not built: pip install -e .")

HEADERS = {"orders": frozenset({"x-a"}), "other": frozenset()}
FAR = settings(
    max_examples=500,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
NEAR = settings(FAR, max_examples=8)


def told(outcome: Authorized | Refusal) -> tuple[object, ...]:
    """Everything in an outcome that does not say how it came about."""
    decision = outcome.decision
    known = None if decision is None else (decision.allow, decision.reasons, decision.headers, decision.result)
    words = (outcome.reason, outcome.reasons, outcome.cause) if isinstance(outcome, Refusal) else None
    return type(outcome), words, known, None if decision is None else decision.revision


async def compare(rules: str, asked: list, *, recorded: bool) -> int:
    """Ask all of it both ways; how often the memo answered."""
    memo = Memo(4096, 10.0)
    with tempfile.TemporaryDirectory() as name:
        engines = []
        for data in generated.DATA:
            generated.write(Path(name), rules, data)
            engines.append(EmbeddedEngine.load(Path(name), "z/decision", 5.0))
    try:
        pairs = [
            (Authorizer(one, HEADERS, memo=memo, recorded=recorded), Authorizer(one, HEADERS, recorded=True))
            for one in engines
        ]
        for admitted in asked:
            for remembering, asking in pairs:
                found, right = await remembering.authorize(admitted), await asking.authorize(admitted)
                assert told(found) == told(right), f"{rules}\n{admitted}\n{found}\n{right}"
                if recorded and found.decision is not None:
                    assert found.decision.document == right.decision.document
    finally:
        for one in engines:
            await one.close()
    return memo.hits


def run(bounds: settings) -> int:
    """How often a memo answered in all."""
    hits = 0

    @bounds
    @given(generated.cases(), st.booleans())
    def differs(case, recorded):
        nonlocal hits
        hits += asyncio.run(compare(case.rules, case.asked, recorded=recorded))

    differs()
    return hits


@pytest.mark.slow
def test_no_difference_in_a_few_policies():
    assert run(NEAR) > 0


@pytest.mark.slow
def test_no_difference_in_many_policies():
    assert run(FAR) > 4_000


def without(*place):
    """Sight that misses a place."""

    def breaks(monkeypatch):
        whole = stage.key_of

        def short(places, revision, shared, clock):
            return whole(frozenset(one for one in places if one[: len(place)] != place), revision, shared, clock)

        monkeypatch.setattr(stage, "key_of", short)

    return breaks


def plain_values(monkeypatch):
    """Claims as Python compares them: 1 is 1.0 is True."""

    def frozen(value):
        if isinstance(value, dict):
            return frozenset((name, frozen(inner)) for name, inner in value.items())
        return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value

    made = key_module._parts

    def parts(places, shared):
        kept = made(places, shared)
        if not key_module.looked_at(places, ("token",)):
            return kept
        return [*kept[:-1], lambda admitted: None if admitted.token is None else frozen(admitted.token.claims)]

    monkeypatch.setattr(key_module, "_parts", parts)


def absent_is_null(monkeypatch):
    """A member that is not there as if it were null."""

    def filled(value, places):
        if () in places or not isinstance(value, dict):
            return value
        return {name: filled(value.get(name), below(places, name)) for name in sorted({place[0] for place in places})}

    monkeypatch.setattr(shared_module, "narrowed", filled)


def no_revision(monkeypatch):
    whole = stage.key_of
    monkeypatch.setattr(stage, "key_of", lambda places, _, shared, clock: whole(places, "", shared, clock))


def no_clock(monkeypatch):
    whole = stage.key_of
    monkeypatch.setattr(stage, "key_of", lambda places, revision, shared, _: whole(places, revision, shared, None))


def no_route(monkeypatch):
    whole = key_module.attrgetter
    monkeypatch.setattr(key_module, "attrgetter", lambda *names: whole("arrived.upgrade", *names[1:]))


BROKEN = {
    "method": without("request", "method"),
    "query": without("request", "query"),
    "headers": without("request", "headers"),
    "source": without("source"),
    "tls": without("tls"),
    "certificate": without("certificate"),
    "token": without("token"),
    "plain values": plain_values,
    "absent is null": absent_is_null,
    "revision": no_revision,
    "clock": no_clock,
    "route": no_route,
}


@pytest.mark.interpreted
@pytest.mark.slow
@pytest.mark.parametrize("breaks", BROKEN.values(), ids=BROKEN)
def test_a_broken_key_is_found(breaks, monkeypatch):
    breaks(monkeypatch)
    with pytest.raises(AssertionError):
        run(FAR)
