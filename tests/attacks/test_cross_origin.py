"""Letting pages of other origins read opens nothing to anybody else, and lets nothing pass unjudged.

What is claimed: no answer names an origin that the route does not, whatever the upstream says; credentials go with
named origins alone; without identity passes the bare question or nothing.
"""

from collections.abc import AsyncIterator

import pytest

from tests.raw_server import Scene, always, arrived, exchange
from tests.unit.test_pipeline import Stages
from ztproxy.config.cross_origin import Cors
from ztproxy.config.loading import ConfigError, parse
from ztproxy.config.routes import Route
from ztproxy.model import Answered, Authorized, Preflight, Reason, Refusal, Refused
from ztproxy.pipeline import Pipeline
from ztproxy.policy.preflight import LET_THROUGH, objection
from ztproxy.policy.stage import Authorizer
from ztproxy.routing import particular
from ztproxy.routing.readable import readable

APP, EVIL = b"https://app.test", b"https://evil.test"
CORS = {"origins": ["https://app.test"], "credentials": True, "headers": ["Content-Type"]}
LOOSE = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: https://evil.test\r\n"
    b"Access-Control-Allow-Credentials: true\r\nAccess-Control-Expose-Headers: *\r\n\r\nok"
)
QUESTION = ((b"origin", APP), (b"access-control-request-method", b"POST"))


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as made:
        yield made


@pytest.mark.parametrize("origin", [EVIL, b"null", b"https://app.test.evil.test", b"http://app.test"])
async def test_an_upstream_that_lets_everybody_read_is_not_believed(scene, origin):
    server = await scene.start(always(LOOSE))
    client = await exchange(scene.build(server.url, route={"cors": CORS}), fields=((b"origin", origin),))
    assert [field for field in client.fields if field[0].startswith(b"access-control-")] == []
    assert client.field(b"vary") == [b"Origin"]


async def test_a_named_page_may_read_and_nobody_else_is_named_beside_it(scene):
    server = await scene.start(always(LOOSE))
    client = await exchange(scene.build(server.url, route={"cors": CORS}), fields=((b"origin", APP),))
    assert client.field(b"access-control-allow-origin") == [APP]
    assert client.field(b"access-control-allow-credentials") == [b"true"]
    assert client.field(b"access-control-expose-headers") == []


async def test_any_page_may_read_only_what_needs_no_credentials(scene):
    server = await scene.start(always(LOOSE))
    client = await exchange(scene.build(server.url, route={"cors": {"origins": ["*"]}}), fields=((b"origin", EVIL),))
    assert client.field(b"access-control-allow-origin") == [b"*"]
    assert client.field(b"access-control-allow-credentials") == []


async def test_without_cors_the_upstream_says_itself(scene):
    server = await scene.start(always(LOOSE))
    client = await exchange(scene.build(server.url), fields=((b"origin", APP),))
    assert client.field(b"access-control-allow-origin") == [EVIL]


async def test_an_upstreams_failure_is_readable_to_the_named_page_alone(scene):
    upstreams = scene.build("http://127.0.0.1:1", route={"cors": CORS})
    for origin, readable_by in ((APP, [APP]), (EVIL, [])):
        refusal = (await exchange(upstreams, fields=((b"origin", origin),))).refusal
        assert [value for name, value in refusal.fields if name == b"access-control-allow-origin"] == readable_by


def route(cors) -> Route:
    return Route.model_validate(
        {"name": "r", "hosts": ["*"], "require": ["token"], "cors": cors, "upstream": {"servers": ["http://h"]}}
    )


class Recording(Stages):
    """Stages that let a preflight through as the policy stage does, and note it."""

    def let_through(self, preflight):
        self.asked.append("let_through")
        return Authorizer.let_through(self, preflight)


async def asked(cors, stop: str = "", **request):
    stages = Recording(stop)
    routes = [route(cors)]
    pipeline = readable(Pipeline(particular.build(routes), stages, stages, stages, {}), routes)
    return await pipeline(arrived(**{"method": "OPTIONS", "fields": QUESTION, **request})), stages.asked


async def test_the_question_is_answered_before_anybody_is_asked_who_they_are():
    outcome, stages = await asked(CORS)
    assert isinstance(outcome, Answered)
    assert stages == ["source"]


async def test_a_flood_of_questions_is_bounded_by_its_source():
    outcome, stages = await asked(CORS, stop="source")
    assert isinstance(outcome, Refused)
    assert stages == ["source"]


async def test_another_page_is_refused_before_the_upstream_hears_of_it():
    outcome, stages = await asked(CORS, fields=((b"origin", EVIL), QUESTION[1]))
    assert outcome.refusal.reason is Reason.CROSS_ORIGIN_REFUSED
    assert stages == ["source"]


@pytest.mark.parametrize(
    "more",
    [
        {"content_length": 5},
        {"unverified_authorization": (b"Bearer x",)},
        {"fields": (*QUESTION, (b"cookie", b"sid=1"))},
        {"fields": QUESTION[:1]},
        {"method": "POST"},
    ],
)
@pytest.mark.parametrize("cors", [CORS, {"preflight": "forward"}])
async def test_what_is_more_than_the_question_is_asked_who_it_is(cors, more):
    outcome, stages = await asked(cors, stop="identify", **more)
    assert isinstance(outcome, Refused)
    assert stages == ["source", "identify"]


@pytest.mark.interpreted
async def test_let_through_passes_the_bare_question_and_nobody():
    fields = (*QUESTION, (b"x-role", b"admin"), (b"referer", b"https://app.test/secret"))
    outcome, stages = await asked({"preflight": "forward"}, fields=fields)
    assert isinstance(outcome, Authorized)
    assert stages == ["source", "let_through"]
    assert (outcome.certificate, outcome.token, outcome.arrived.fields) == (None, None, QUESTION)
    assert outcome.decision is LET_THROUGH


@pytest.mark.parametrize(
    "more",
    [
        {"method": "GET"},
        {"content_length": None},
        {"content_length": 1},
        {"unverified_authorization": (b"Bearer x",)},
        {"fields": (*QUESTION, (b"cookie", b"sid=1"))},
        {"fields": ()},
        {"upgrade": "websocket"},
    ],
)
def test_the_right_to_pass_is_looked_at_again_where_it_is_given(more):
    request = arrived(**{"method": "OPTIONS", "fields": QUESTION, **more})
    assert isinstance(objection(Preflight(request, "r")), Refusal)
    assert objection(Preflight(arrived(method="OPTIONS", fields=QUESTION), "r")) is None


async def test_a_refusal_is_readable_to_the_named_page_alone():
    for origin, readable_by in ((APP, [APP]), (EVIL, [])):
        outcome, _ = await asked(CORS, stop="identify", method="GET", fields=((b"origin", origin),))
        assert [
            value for name, value in outcome.refusal.fields if name == b"access-control-allow-origin"
        ] == readable_by


def test_letting_questions_through_unbounded_is_refused_at_the_start(tmp_path):
    text = (
        'version: 1\nlisteners: [{address: "127.0.0.1:0", protocol: http}]\npolicy: {path: .}\n'
        "routes:\n- {name: r, hosts: ['*'], require: [], upstream: {servers: ['http://h']}, "
        "cors: {preflight: forward}}\n"
    )
    with pytest.raises(ConfigError, match=r"source\.address"):
        parse(text, tmp_path / "z.yaml")
    bounded = text + "limits: {rules: [{key: source.address, rate: 10/second}]}\n"
    assert parse(bounded, tmp_path / "z.yaml").routes[0].cors == Cors(preflight="forward")
