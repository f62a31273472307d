import pytest

from tests.raw_server import arrived
from ztproxy.config.cross_origin import Cors
from ztproxy.model import Answer, Preflight, Reason, Refusal
from ztproxy.routing.preflight import is_question, meeting

QUESTION = ((b"origin", b"https://app.test"), (b"access-control-request-method", b"PUT"))
CORS = Cors(origins=("https://app.test",), methods=("GET", "PUT"), headers=("Content-Type", "X-A"), max_age=60.0)


def asked(*fields, question=QUESTION, **changes):
    return arrived(**{"method": "OPTIONS", "fields": (*question, *fields), **changes})


def test_the_question_is_known():
    assert is_question(asked())
    assert is_question(asked((b"accept", b"*/*"), (b"user-agent", b"x")))


@pytest.mark.parametrize(
    "request_",
    [
        asked(method="GET"),
        asked(content_length=1),
        asked(content_length=None),
        asked(unverified_authorization=(b"Bearer x",)),
        asked((b"cookie", b"sid=1")),
        asked(question=QUESTION[:1]),
        asked(question=QUESTION[1:]),
        asked(QUESTION[0]),
        asked(QUESTION[1]),
    ],
)
def test_what_is_more_or_less_is_a_request_like_any_other(request_):
    assert not is_question(request_)


def test_it_is_answered_with_what_the_route_allows():
    answer = meeting(CORS)(asked((b"access-control-request-headers", b"content-type, x-a")), "r")
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body) == (204, b"")
    assert dict(answer.fields[:1]) == {b"access-control-allow-origin": b"https://app.test"}
    told = dict(answer.fields)
    assert told[b"access-control-allow-methods"] == b"GET, PUT"
    assert told[b"access-control-allow-headers"] == b"Content-Type, X-A"
    assert told[b"access-control-max-age"] == b"60"
    assert b"access-control-allow-credentials" not in told


@pytest.mark.parametrize(
    ("question", "why"),
    [
        (((b"origin", b"https://evil.test"), QUESTION[1]), "origin"),
        ((QUESTION[0], (b"access-control-request-method", b"DELETE")), "method"),
        ((QUESTION[0], (b"access-control-request-method", b"put")), "method"),
        ((*QUESTION, (b"access-control-request-headers", b"authorization")), "header"),
        (
            (*QUESTION, (b"access-control-request-headers", b"x-a"), (b"access-control-request-headers", b"x-b")),
            "header",
        ),
    ],
)
def test_what_is_not_allowed_is_refused_with_its_reason(question, why):
    refusal = meeting(CORS)(asked(question=question), "r")
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, why in refusal.cause) == (Reason.CROSS_ORIGIN_REFUSED, True)


def test_only_the_bare_question_is_let_through():
    headers = (b"access-control-request-headers", b"x-a")
    met = meeting(Cors(preflight="forward"))(asked(headers, (b"x-role", b"admin"), (b"accept", b"*/*")), "r")
    assert isinstance(met, Preflight)
    assert (met.route, met.arrived.fields) == ("r", (*QUESTION, headers))
