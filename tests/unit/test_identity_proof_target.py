from hypothesis import given
from hypothesis import strategies as st

from ztproxy.identity.proof_target import MAXIMUM_URI, is_target, normalised

URIS = st.text(st.sampled_from("https:/.%2eFfaA?#[]@:\\\t\u00e4 1"), max_size=40).map("https://".__add__)


@given(URIS)
def test_normalising_is_done_once_for_all(uri):
    made = normalised(uri)
    if made is not None:
        scheme, authority, path = made
        assert normalised(f"{scheme}://{authority}{path}") == made
        assert is_target(uri, scheme, authority, path)


@given(URIS)
def test_what_comes_of_it_has_one_reading(uri):
    made = normalised(uri)
    if made is not None:
        scheme, authority, path = made
        assert scheme == "https"
        assert path.startswith("/")
        assert not {".", ".."} & set(path.split("/"))
        assert not set(authority) & set("@?#/\\")
        assert (scheme + authority + path).isascii()


def test_parts_are_told_apart():
    assert normalised("HTTPS://User.Test:8443/a/%7eb/./c/../d?x=1#y") == ("https", "user.test:8443", "/a/~b/d")
    assert normalised("http://[2001:DB8:0::1]:80") == ("http", "[2001:db8::1]", "/")
    assert normalised("https://a/b/..") == ("https", "a", "/")
    assert normalised("https://a/../../b/.") == ("https", "a", "/b/")


def test_what_is_none():
    for uri in ("", "https://", "ftp://a/", "https://[::1/", "https://[1.2.3]/", "https://a:123456/", "https://a b/"):
        assert normalised(uri) is None
    assert normalised("https://a/" + "b" * MAXIMUM_URI) is None
