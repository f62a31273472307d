"""The order of the stages, with stages that record that they were asked."""

import pytest

from ztproxy.model import (
    Admitted,
    Answer,
    Answered,
    Arrived,
    Authorized,
    Connection,
    Decision,
    Identified,
    Reason,
    Refusal,
    Refused,
    Routed,
    StepUp,
)
from ztproxy.pipeline import Pipeline
from ztproxy.routing.reserved import Reserved, always

ARRIVED = Arrived(
    request_id="1",
    wall=0.0,
    monotonic=0.0,
    connection=Connection("l", "https", "127.0.0.1", 1, 2),
    source="127.0.0.1",
    method="GET",
    scheme="https",
    host="h",
    port=443,
    authority=b"h",
    path="/x",
    segments=("x",),
    query="",
    has_query=False,
    fields=(),
    unverified_authorization=(),
    content_length=0,
)
NO = Refusal(Reason.POLICY_DENIED)


class Stages:
    """All stages in one; `stop` names the one that refuses."""

    def __init__(self, stop: str = "") -> None:
        self.stop = stop
        self.asked: list[str] = []

    def _refuses(self, name: str) -> bool:
        self.asked.append(name)
        return name == self.stop

    async def charge_source(self, arrived):
        return NO if self._refuses("source") else None

    def route(self, arrived):
        return NO if self._refuses("route") else Routed(arrived, "r")

    async def identify(self, routed):
        return NO if self._refuses("identify") else Identified(routed.arrived, routed.route, None, None)

    async def step_up(self, identified, refusal):
        self.asked.append("step_up")
        return Answer(303, (), b"")

    async def admit(self, identified):
        if self._refuses("admit"):
            return NO
        return Admitted(identified.arrived, identified.route, None, None, None)

    async def authorize(self, admitted):
        if self._refuses("authorize"):
            return NO
        if self.stop == "step_up":
            return Refusal(Reason.STEP_UP_REQUIRED, step_up=StepUp(("high",)))
        return Authorized(admitted.arrived, admitted.route, None, None, None, Decision(allow=True))


def pipeline(stages: Stages) -> Pipeline:
    return Pipeline(stages, stages, stages, stages, Reserved({"/.well-known/ztproxy/x": always(Answer(200, (), b"x"))}))


ORDER = ["source", "route", "identify", "admit", "authorize"]


async def test_every_stage_is_asked_in_order():
    stages = Stages()
    assert isinstance(await pipeline(stages)(ARRIVED), Authorized)
    assert stages.asked == ORDER


@pytest.mark.parametrize(
    ("stop", "reached"),
    [("source", Arrived), ("route", Arrived), ("identify", Routed), ("admit", Identified), ("authorize", Admitted)],
)
async def test_a_refusal_ends_the_journey_and_says_how_far_it_came(stop, reached):
    stages = Stages(stop)
    outcome = await pipeline(stages)(ARRIVED)
    assert isinstance(outcome, Refused)
    assert outcome.refusal is NO
    assert type(outcome.at) is reached
    assert stages.asked == ORDER[: ORDER.index(stop) + 1]


async def test_reserved_paths_are_answered_after_the_source_is_charged():
    stages = Stages()
    arrived = Arrived(
        **{name: getattr(ARRIVED, name) for name in ARRIVED.__struct_fields__}
        | {"path": "/.well-known/ztproxy/x", "segments": (".well-known", "ztproxy", "x")}
    )
    assert isinstance(await pipeline(stages)(arrived), Answered)
    assert stages.asked == ["source"]


async def test_who_has_to_log_in_again_is_met_by_identity():
    stages = Stages("step_up")
    assert isinstance(await pipeline(stages)(ARRIVED), Answered)
    assert stages.asked == [*ORDER, "step_up"]


async def test_what_identity_answers_itself_goes_no_further():
    class Redirecting(Stages):
        async def identify(self, routed):
            return Answer(303, (), b"")

    stages = Redirecting()
    outcome = await pipeline(stages)(ARRIVED)
    assert isinstance(outcome, Answered)
    assert stages.asked == ["source", "route"]
