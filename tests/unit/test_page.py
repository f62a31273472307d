"""Our own pages, as HTML."""

import pytest

from ztproxy.page import CONTENT_POLICY, Fact, Form, Link, Page

EVIL = "<script>\"'&"


def test_everything_on_a_page_is_escaped():
    page = Page(
        EVIL,
        (EVIL,),
        EVIL,
        (EVIL,),
        (Fact(EVIL, EVIL), Fact(EVIL, EVIL, code=True)),
        (Link(EVIL, EVIL), Form(EVIL, EVIL, ((EVIL, EVIL),))),
    )
    html = page.html(EVIL)
    assert b"<script" not in html
    assert html.count(b"&lt;script&gt;&quot;&#x27;&amp;") >= 14


def test_a_page_has_a_language_a_title_a_heading_and_a_main_part():
    html = Page("Title").html("403 ").decode()
    assert html.startswith('<!doctype html><html lang="en">')
    assert "<title>403 Title</title>" in html
    assert html.count("<h1>") == html.count("<main>") == 1
    assert 'content="width=device-width, initial-scale=1"' in html


@pytest.mark.parametrize("mood", ["refused", "done", "asks"])
def test_pictures_say_nothing_to_who_does_not_see_them(mood):
    html = Page("Title", mood=mood).html().decode()
    assert f'<svg class="{mood}" viewBox="0 0 24 24" aria-hidden="true">' in html


def test_what_a_page_may_do():
    assert Page("t", actions=(Form("Go", "/"),)).content_policy == CONTENT_POLICY
    away = Page("t", actions=(Form("Go", "/", leads_away=True),)).content_policy
    assert away == CONTENT_POLICY + b" https:"
    assert b"'unsafe" not in away


def test_a_form_says_how_it_is_sent():
    html = Page("t", actions=(Form("Go", "/x", (("a", "b"),), multipart=True),)).html()
    assert b'<form method="post" action="/x" enctype="multipart/form-data" accept-charset="utf-8">' in html
    assert b'<input type="hidden" name="a" value="b">' in html


def test_a_page_is_kept_by_nobody():
    fields = dict(Page("t").answer(403, ((b"x", b"y"),)).fields)
    assert (fields[b"cache-control"], fields[b"x"]) == (b"no-store", b"y")
