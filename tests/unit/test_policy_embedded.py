"""The embedded engine: load, evaluate, wait, refuse."""

import asyncio
from pathlib import Path

import pytest

from ztproxy.model import Reason
from ztproxy.policy.embedded import EmbeddedEngine, PolicyLoadError
from ztproxy.policy.engine import Sight
from ztproxy.policy.places import looked_at

NOW = 1_700_000_000 * 10**9


def engine(directory: Path, rules: str, deadline: float = 5.0, **options) -> EmbeddedEngine:
    (directory / "policy.rego").write_text(f"package z\n\n{rules}\n")
    return EmbeddedEngine.load(directory, "z/decision", deadline, **options)


def at_once(coroutine):
    """Run a coroutine that must not suspend, with no event loop about."""
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    return done.value.value


def test_answers_without_suspending(tmp_path):
    found = engine(tmp_path, 'decision := {"allow": input.a == 1, "now": time.now_ns()}')
    answer = at_once(found.evaluate(b'{"a": 1}', NOW))
    assert answer.value == b'{"allow":true,"now":1700000000000000000}'
    assert answer.problem is None


def test_undefined_is_a_problem(tmp_path):
    answer = at_once(engine(tmp_path, "decision if input.a == 1").evaluate(b'{"a": 2}', NOW))
    assert (answer.value, answer.problem) == (None, Reason.POLICY_UNDEFINED)


def test_builtin_error_is_a_problem_with_its_place(tmp_path):
    answer = at_once(engine(tmp_path, "decision := 1 / input.a").evaluate(b'{"a": 0}', NOW))
    assert answer.problem is Reason.POLICY_ERROR
    assert "policy.rego:3" in answer.cause


def test_malformed_input_is_a_problem(tmp_path):
    answer = at_once(engine(tmp_path, "decision := input.a").evaluate(b'{"a": 0', NOW))
    assert answer.problem is Reason.POLICY_ERROR


def test_what_it_looks_at_is_known(tmp_path):
    rules = 'decision if { input.token.claims["a.b"] == data.x; input.request.method }\nother := input'
    assert engine(tmp_path, rules).sight == Sight(
        frozenset({("token", "claims", "a.b"), ("request", "method")}), clock=False, repeatable=True
    )


@pytest.mark.parametrize(
    ("rules", "sight"),
    [
        ("decision := true", Sight(frozenset(), clock=False, repeatable=True)),
        ("decision := time.now_ns()", Sight(frozenset(), clock=True, repeatable=True)),
        ('decision := rand.intn("x", 1000000)', Sight(frozenset(), clock=False, repeatable=False)),
        (
            'decision := y if { y := crypto.x509.parse_and_verify_certificates("x") }',
            Sight(frozenset(), clock=False, repeatable=False),
        ),
        ('decision := yaml.unmarshal("a: 1")', Sight(frozenset(), clock=False, repeatable=False)),
    ],
)
def test_clock_and_chance_are_known(tmp_path, rules, sight):
    assert engine(tmp_path, rules).sight == sight


@pytest.mark.parametrize(
    "rules",
    [
        "decision := input.a",
        'decision if not object.get(input, "a", false)',
        "decision := f(input.a)\nf(x) := x",
        "decision := x if { some x in [input] }",
        'decision := "a" if { false } else := input.a',
        'decision contains "a" if { input.a }',
        "decision[input.a] := 1",
        "decision := 1 if { every x in [1] { x == input.a } }",
        'decision := {"a": [x | x := input.a]}',
        "decision := x if { x := g with input.a as 2 }\ng := input.a",
    ],
)
def test_no_read_of_the_input_is_missed(tmp_path, rules):
    assert looked_at(engine(tmp_path, rules).sight.places, ("a",))


def test_revision_covers_rules_data_and_entrypoint(tmp_path):
    revisions = [engine(tmp_path, "decision := true\nother := true").revision]
    revisions.append(engine(tmp_path, "decision := false\nother := true").revision)
    (tmp_path / "data.json").write_text('{"roles": {}}')
    revisions.append(engine(tmp_path, "decision := false\nother := true").revision)
    revisions.append(EmbeddedEngine.load(tmp_path, "z/other", 1.0).revision)
    assert len(set(revisions)) == len(revisions)
    assert engine(tmp_path, "decision := false\nother := true").revision == revisions[2]


def test_problems_name_file_row_and_column(tmp_path):
    with pytest.raises(PolicyLoadError) as failure:
        engine(tmp_path, "decision if not misspelt(input.a)")
    (problem,) = failure.value.problems
    assert (problem.file, problem.row, problem.col) == ("policy.rego", 3, 13)
    assert "misspelt" in problem.message


SLOW = """decision := count([1 |
    some i in numbers.range(1, 100000)
    some j in numbers.range(1, 100000)
    i + j == input.a
])"""


@pytest.mark.slow
async def test_slow_evaluation_leaves_the_loop_free_and_ends_at_its_deadline(tmp_path):
    found = engine(tmp_path, SLOW, 0.3)
    loop = asyncio.get_running_loop()
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)

    ticking = loop.create_task(tick())
    start = loop.time()
    answer = await found.evaluate(b'{"a": -1}', NOW)
    took = loop.time() - start
    ticking.cancel()
    assert answer.problem is Reason.POLICY_TIMEOUT
    assert 0.25 < took < 1.0
    assert ticks > 10


@pytest.mark.slow
async def test_what_takes_longer_than_inline_is_still_answered(tmp_path):
    found = engine(tmp_path, "decision := count([1 | some i in numbers.range(1, 20000); i % 2 == input.a])")
    answers = await asyncio.gather(*(found.evaluate(b'{"a": 1}', NOW) for _ in range(5)))
    assert [answer.value for answer in answers] == [b"10000"] * 5


async def test_closing_ends_what_is_pending(tmp_path):
    found = engine(tmp_path, SLOW)
    pending = asyncio.ensure_future(found.evaluate(b'{"a": -1}', NOW))
    await asyncio.sleep(0)
    await found.close()
    assert (await pending).problem is Reason.POLICY_UNAVAILABLE
    assert (await found.evaluate(b"{}", NOW)).problem is Reason.POLICY_UNAVAILABLE
