"""A request's content is counted or framed."""

from ztproxy.upstream.content import Content


def test_counted():
    content = Content(5)
    assert content.add(b"ab") is None
    assert content.end() == "less content than the request declares"
    assert content.add(b"cde") is None
    assert content.waiting == 5
    assert content.end() is None
    assert content.take() == [b"ab", b"cde"]
    assert (content.take(), content.waiting, content.ended) == ([], 0, True)


def test_more_than_declared_is_not_held():
    content = Content(1)
    assert content.add(b"ab") == "more content than the request declares"
    assert content.take() == []


def test_framed_in_chunks():
    content = Content(None)
    content.add(b"x" * 26)
    content.end()
    content.end()
    assert b"".join(content.take()) == b"1a\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n"
    assert content.add(b"more") == "content after its end"
