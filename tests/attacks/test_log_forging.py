"""Nothing from a request can forge a log line, a field or a terminal sequence, nor make its own line unreadable."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztproxy.model import (
    Arrived,
    Authorized,
    Certificate,
    Connection,
    Decision,
    Finished,
    HandshakeFailed,
    Reason,
    Refusal,
    Refused,
    Sans,
    Token,
)  # fmt: skip
from ztproxy.observe import AccessLog
from ztproxy.observe.plain import LONGEST

HOSTILE = [
    'x","decision":"allow","y":"',
    'x\n{"decision":"allow"}',
    "x\r\x1b[2J\x1b]0;owned\x07",
    "\x7f",
    "\x7f\x80\x9b31m\x85",
    "\u2028\u2029",
    "\u202egnp.exe\u202c\u2066",
    "\ud800",
    "\udfff\ud800 both",
    "\U0001f600 \ud83d\ude00",
    "\x00",
    "\\u000a",
    "\ufeff\u200b",
]  # fmt: skip
CONNECTION = Connection("l", "https", "192.0.2.1", 1, 2)


def finished(text):
    arrived = Arrived(
        request_id="1", wall=0.0, monotonic=0.0, connection=CONNECTION, source="192.0.2.1",
        method=text, scheme="https", host=text, port=443, authority=b"h", path="/" + text, segments=(),
        query="secret-query", has_query=True, fields=((b"x-key", b"secret-header"),),
        unverified_authorization=(b"Bearer secret-token",), content_length=0,
    )  # fmt: skip
    certificate = Certificate(b"", text, text, Sans(), None, text, "1", "f", 0, 1, 3, False, None, ())
    token = Token(b"secret-digest", text, text, (), {"c": "secret-claim"}, "bearer", None, None, 0.0, None)
    decision = Decision(allow=False, document=b'"secret-document"', reasons=("secret-reason",))
    at = Authorized(arrived, "r", certificate, token, None, decision)
    return Finished(at, "1", 0.0, CONNECTION, 200, 0, 0, 0.0, upstream=text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("logs")


def line_of(folder, record):
    path = folder / "access.log"
    path.unlink(missing_ok=True)
    log = AccessLog.open(str(path))
    (log.handshake_failed if isinstance(record, HandshakeFailed) else log.finished)(record)
    log.close()
    text = path.read_bytes()
    assert text.endswith(b"\n")
    return text[:-1]


def check(line, keys):
    assert all(0x20 <= octet < 0x7F for octet in line)
    entry = msgspec.json.decode(line)  # strict: refuses lone surrogates
    assert entry == json.loads(line)
    pairs = json.loads(line, object_pairs_hook=list)
    assert len(pairs) == len({name for name, _ in pairs}) == keys
    return entry


@pytest.mark.parametrize("text", HOSTILE)
def test_a_request_s_line_is_one_readable_line_in_plain_ascii(folder, text):
    entry = check(line_of(folder, finished(text)), 23)
    assert entry["decision"] == "deny"
    seen = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert (entry["path"], entry["token_subject"], entry["certificate_subject"]) == ("/" + seen, seen, seen)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_handshake_s_line_too(folder, text):
    entry = check(line_of(folder, HandshakeFailed(0.0, "l", "192.0.2.1", 1, text, text, text, "f")), 9)
    assert entry["event"] == "handshake-failed"


@pytest.mark.slow
@given(st.text(st.characters(), max_size=40))
def test_whatever_the_text(text):
    from ztproxy.observe.access import _request
    from ztproxy.observe.plain import line

    check(line(_request(finished(text), "t"))[:-1], 23)


def test_no_secret_is_in_it(folder):
    assert b"secret" not in line_of(folder, finished("x"))
    refused = Refused(Refusal(Reason.TOKEN_MALFORMED, cause="secret-cause"), finished("x").outcome.arrived)
    assert b"secret" not in line_of(folder, Finished(refused, "1", 0.0, CONNECTION, 401, 0, 0, 0.0))


def test_a_name_as_long_as_a_book_is_cut_and_says_so(folder):
    entry = check(line_of(folder, finished("x" * 100_000)), 23)
    assert entry["token_subject"] == "x" * LONGEST + "...(100000 characters)"
