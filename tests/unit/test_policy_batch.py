"""The questions of one turn go to the library together; each gets its own answer."""

import asyncio

import pytest

from ztproxy.edge import eager
from ztproxy.policy.batch import Batch
from ztproxy.policy.library import LIBRARY, LoadOptions, Status, library

pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason="the engine is not built: pip install -e .")
SECOND = 10**9


class Counting:
    """A policy that keeps how many questions came at once."""

    def __init__(self, policy):
        self._policy = policy
        self.asked = []

    def evaluate(self, document, now_ns, deadline_ns):
        self.asked.append(1)
        return self._policy.evaluate(document, now_ns, deadline_ns)

    def evaluate_many(self, questions, deadline_ns):
        self.asked.append(len(questions))
        return self._policy.evaluate_many(questions, deadline_ns)


@pytest.fixture
def policy(tmp_path):
    def make(rules="decision := [input.a, time.now_ns()]", **options):
        (tmp_path / "policy.rego").write_text(f"package z\n\n{rules}\n")
        return Counting(library().load(LoadOptions(directory=str(tmp_path), entrypoint="z/decision", **options)))

    return make


async def ask(batch, documents, then=list):
    """Ask for each as requests do, outside any task, in one turn; wait for the turn's end."""
    loop, answers = asyncio.get_running_loop(), []

    def begin():
        answers.extend(eager.run(batch.answer(document, number)) for number, document in enumerate(documents))
        assert not any(answer.done() for answer in answers)
        then(answers)

    loop.call_soon(begin)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return answers


async def test_what_is_asked_in_one_turn_is_asked_at_once_and_answered_each_for_itself(policy):
    counting = policy()
    answers = await ask(Batch(counting, SECOND), [b'{"a": "%d"}' % number for number in range(200)])
    expected = [(Status.OK, b'["%d",%d]' % (number, number)) for number in range(200)]
    assert [answer.result()[:2] for answer in answers] == expected
    assert counting.asked == [64, 64, 64, 8]


async def test_a_question_alone_is_asked_alone_and_the_next_turn_has_its_own(policy):
    counting = policy()
    batch = Batch(counting, SECOND)
    for _ in range(2):
        (answer,) = await ask(batch, [b'{"a": 1}'])
        assert answer.result()[1] == b"[1,0]"
    assert counting.asked == [1, 1]


async def test_one_that_fails_does_not_concern_the_others(policy):
    counting = policy("decision := 1 / input.a")
    answers = await ask(Batch(counting, SECOND), [b'{"a": 1}', b'{"a": 0}', b'{"a": ', b"{}", b'{"a": 1}'])
    statuses = [answer.result()[0] for answer in answers]
    assert statuses == [Status.OK, Status.FAILED, Status.BAD_INPUT, Status.UNDEFINED, Status.OK]


async def test_long_answers_all_find_room(policy):
    counting = policy('decision := sprintf("%060000d", [input.a])')
    answers = await ask(Batch(counting, SECOND), [b'{"a": %d}' % number for number in range(20)])
    assert [answer.result()[1] for answer in answers] == [b'"%060000d"' % number for number in range(20)]
    assert len(counting.asked) > 1


async def test_a_task_is_answered_at_once(policy):
    counting = policy()
    assert (await Batch(counting, SECOND).answer(b'{"a": 1}', 5))[1] == b"[1,5]"
    assert counting.asked == [1]


async def test_who_is_gone_does_not_keep_the_others_waiting(policy):
    batch = Batch(policy(), SECOND)
    first, second = await ask(batch, [b'{"a": 1}', b'{"a": 2}'], lambda answers: answers[0].cancel())
    assert first.cancelled()
    assert second.result()[1] == b"[2,1]"


async def test_a_bug_in_what_one_does_with_its_answer_is_not_the_others(policy):
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    batch = Batch(policy(), SECOND)

    def careless(answers):
        answers[0].add_done_callback(lambda _: 1 // 0)

    _, second = await ask(batch, [b'{"a": 1}', b'{"a": 2}'], careless)
    assert second.result()[1] == b"[2,1]"
    assert [type(bug) for bug in reported] == [ZeroDivisionError]


async def test_everybody_is_answered_when_the_library_cannot_be_asked():
    class Broken:
        def evaluate_many(self, questions, deadline_ns):
            raise OSError("gone")

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    answers = await ask(Batch(Broken(), SECOND), [b"{}", b"{}"])
    assert [answer.result()[0] for answer in answers] == [Status.FAILED, Status.FAILED]
