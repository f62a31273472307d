"""Claim: what is read without llhttp, because its octets were read before, is read as llhttp reads it.

Each case runs on two connections: one remembers, the other is made to forget before each octet that comes.
"""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import corpus
from tests.attacks.test_any_octets import TOKENS
from tests.edge import Edge, get
from tests.raw_server import arrived, authorized
from ztproxy.config.routes import Route
from ztproxy.edge import requests
from ztproxy.identity.demands import Demands
from ztproxy.identity.stage import _presented
from ztproxy.upstream import response
from ztproxy.upstream.head import RequestHead
from ztproxy.upstream.repeated import LONGEST, MAXIMUM, RepeatedHeads
from ztproxy.upstream.response import ResponseReader
from ztproxy.upstream.statement import Statements

FIRST = get(b"/one", b"Authorization: Bearer abc", b"X-One: 1", b"Accept: */*")
LINE, _, BLOCK = FIRST.partition(b"\r\n")


class Forgetful(requests.Requests):
    """Has every request read by llhttp."""

    def _repeated(self, data):
        return None


def seen(pieces, monkeypatch, kind):
    """What the pipeline was asked and what came back, without what differs between any two runs, or in words."""
    with monkeypatch.context() as patch:
        patch.setattr("ztproxy.edge.http1.Requests", kind)
        edge = Edge()
    answers = b"".join(edge.send(piece) for piece in pieces)
    arrived = [
        (one.method, one.path, one.segments, one.query, one.has_query, one.host, one.port, one.source, one.fields,
         one.unverified_authorization, one.content_length, one.upgrade, one.protocol)
        for one in edge.arrived
    ]  # fmt: skip
    ends = [(told.status, told.bytes_in) for told in edge.told.all]
    return arrived, re.findall(rb"HTTP/1\.1 (\d{3}) ", answers), ends, edge.wire.closed, edge.wire.aborted


async def test_a_request_that_repeats_its_fields_is_not_read_by_llhttp(monkeypatch):
    edge = Edge()
    edge.send(FIRST)
    monkeypatch.setattr(edge.http._requests, "_llhttp", "not asked")
    assert edge.send(b"DELETE /two?x HTTP/1.1\r\n" + BLOCK).startswith(b"HTTP/1.1 200")
    first, second = edge.arrived
    assert (second.method, second.path, second.query) == ("DELETE", "/two", "x")
    assert second.fields is first.fields
    assert second.request_id != first.request_id


SECONDS = {
    "the same": FIRST,
    "another line": b"POST /two HTTP/1.1\r\n" + BLOCK,
    "HEAD": b"HEAD /two HTTP/1.1\r\n" + BLOCK,
    "pipelined": FIRST + b"PUT /three HTTP/1.1\r\n" + BLOCK + b"GET /four HTTP/1.1\r\n" + BLOCK,
    "absolute": b"GET http://a.example/two HTTP/1.1\r\n" + BLOCK,
    "absolute, elsewhere": b"GET http://b.example/two HTTP/1.1\r\n" + BLOCK,
    "asterisk": b"OPTIONS * HTTP/1.1\r\n" + BLOCK,
    "no path": b"GET two HTTP/1.1\r\n" + BLOCK,
    "1.0": b"GET /two HTTP/1.0\r\n" + BLOCK,
    "1.2": b"GET /two HTTP/1.2\r\n" + BLOCK,
    "lower case": b"get /two HTTP/1.1\r\n" + BLOCK,
    "two spaces": b"GET  /two HTTP/1.1\r\n" + BLOCK,
    "a tab": b"GET\t/two HTTP/1.1\r\n" + BLOCK,
    "a space at the end": b"GET /two HTTP/1.1 \r\n" + BLOCK,
    "a space before": b" GET /two HTTP/1.1\r\n" + BLOCK,
    "NUL": b"GET /t\0wo HTTP/1.1\r\n" + BLOCK,
    "CR": b"GET /t\rwo HTTP/1.1\r\n" + BLOCK,
    "LF": b"GET /t\nwo HTTP/1.1\r\n" + BLOCK,
    "not ASCII": b"GET /t\xe9 HTTP/1.1\r\n" + BLOCK,
    "dots": b"GET /a/../b HTTP/1.1\r\n" + BLOCK,
    "CONNECT": b"CONNECT a:1 HTTP/1.1\r\n" + BLOCK,
    "TRACE": b"TRACE / HTTP/1.1\r\n" + BLOCK,
    "RTSP": b"GET / RTSP/1.0\r\n" + BLOCK,
    "empty line before": b"\r\n" + FIRST,
    "a field more": FIRST[:-2] + b"X-Two: 2\r\n\r\n",
    "a body": FIRST[:-2] + b"Content-Length: 3\r\n\r\nabc" + FIRST,
    "a field fewer": FIRST.replace(b"X-One: 1\r\n", b"") + FIRST,
    "another value": FIRST.replace(b"X-One: 1", b"X-One: 2") + FIRST,
    "too long": b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + BLOCK,
    "refused, then again": b"GET /a//b HTTP/1.1\r\n" + BLOCK + FIRST,
    "close": FIRST[:-2] + b"Connection: close\r\n\r\n" + FIRST,
}


@pytest.mark.parametrize("case", SECONDS)
async def test_it_is_read_as_llhttp_reads_it(case, monkeypatch):
    whole = [FIRST, SECONDS[case]]
    assert seen(whole, monkeypatch, requests.Requests) == seen(whole, monkeypatch, Forgetful)
    octets = [FIRST, *(SECONDS[case][at : at + 1] for at in range(min(200, len(SECONDS[case]))))]
    assert seen(octets, monkeypatch, requests.Requests) == seen(octets, monkeypatch, Forgetful)


@pytest.mark.slow
@given(
    st.sampled_from([FIRST, *(octets for octets, _ in corpus.TAKEN.values())]),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 6), st.sampled_from([b"", *TOKENS])), max_size=3),
    st.integers(0, 400),
)
@settings(max_examples=400)
async def test_whatever_comes_behind_it_is_read_as_llhttp_reads_it(first, changes, cut):
    second = first
    for at, gone, put in changes:
        second = second[:at] + put + second[at + gone :]
    pieces = [first, second[:cut], second[cut:] + first]
    with pytest.MonkeyPatch.context() as patch:
        assert seen(pieces, patch, requests.Requests) == seen(pieces, patch, Forgetful)


OK = b"HTTP/1.1 200 OK\r\nServer: s\r\nWWW-Authenticate: Basic\r\nContent-Length: 5\r\n\r\n"
ANSWERS = {
    "the same": OK + b"hello",
    "other content": OK + b"world",
    "less": OK + b"hell",
    "more": OK + b"hello!",
    "another answer behind it": OK + b"hello" + OK + b"hello",
    "nothing": OK,
    "half a head": OK[:30],
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "close": OK.replace(b"Server: s", b"Connection: close") + b"hello",
    "1.0": OK.replace(b"1.1", b"1.0") + b"hello",
    "204": b"HTTP/1.1 204 N\r\nContent-Length: 0\r\n\r\n",
    "304": b"HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\nhello",
    "100 before": b"HTTP/1.1 100 C\r\n\r\n" + OK + b"hello",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "negotiate": OK.replace(b"Basic", b"Negotiate") + b"hello",
    "bare line feeds": OK.replace(b"\r\n", b"\n") + b"hello",
}


def read(reader, data, *, asks_head=False):
    reader.begin(asks_head=asks_head, asks_switch=False)
    reader.feed(data)
    head = reader.head
    said = None if head is None else (head.fields, head.length, head.chunked, head.close, head.shareable, head.keep)
    return reader.status, said, reader.content, reader.complete, reader.reusable, reader.problem, reader.started


@pytest.mark.parametrize("asks_head", [False, True])
@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_is_read_as_llhttp_reads_it(case, asks_head, monkeypatch):
    monkeypatch.setattr(response, "_repeated", RepeatedHeads())
    for before in ANSWERS.values():
        read(ResponseReader(), before)
    again = read(ResponseReader(), ANSWERS[case], asks_head=asks_head)
    monkeypatch.setattr(response, "_repeated", RepeatedHeads())
    assert again == read(ResponseReader(), ANSWERS[case], asks_head=asks_head)


def test_an_answer_s_head_that_was_read_is_not_read_by_llhttp(monkeypatch):
    reader = ResponseReader()
    read(reader, ANSWERS["the same"])
    monkeypatch.setattr(reader, "_parser", "not asked")
    assert read(reader, ANSWERS["other content"])[2:5] == ([b"world"], True, True)


def test_what_is_done_to_one_answer_s_fields_is_not_done_to_the_next(monkeypatch):
    reader = ResponseReader()
    for _ in range(3):
        read(reader, ANSWERS["the same"])
        assert len(reader.head.fields) == 2
        reader.head.fields.append((b"set-cookie", b"of the first"))


def test_heads_that_are_known_are_bounded():
    known = RepeatedHeads()
    reader = ResponseReader()
    read(reader, OK + b"hello")
    for number in range(3 * MAXIMUM):
        known.learn(OK.replace(b": s", b": %d" % number) + b"hello", 200, reader.head)
        assert len(known._known) <= MAXIMUM
    known.learn(OK.replace(b": s", b": " + b"s" * LONGEST) + b"hello", 200, reader.head)
    assert max(map(len, known._known)) <= LONGEST + 4


def test_a_note_about_fields_holds_for_no_others():
    """A preflight that is let through bare shares its notes with the requests of the same connection."""
    plain = {"name": "app", "hosts": ["*"], "require": [], "upstream": {"servers": ["http://10.0.0.5:8080"]}}
    head, notes = RequestHead(Route.model_validate(plain), Statements(None)), {}
    whole = ((b"origin", b"https://a"), (b"x-api-key", b"secret"))
    assert b"x-api-key: secret\r\n" in head.write(authorized(fields=whole, notes=notes), b"app")
    assert b"x-api-key" not in head.write(authorized(fields=whole[:1], notes=notes), b"app")
    assert b"x-api-key: secret\r\n" in head.write(authorized(fields=whole, notes=notes), b"app")


def test_a_note_about_a_token_holds_for_no_other():
    demands, notes = Demands(certificate=False, token=True, issuers=frozenset({"i"}), authorities=frozenset()), {}
    values = [(b"Bearer one",), (b"Bearer two",), (b"Bearer one",)]
    read = [_presented(arrived(unverified_authorization=one, notes=notes), demands)[0] for one in values]
    assert read == [b"one", b"two", b"one"]
