import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztproxy.config.moving import Rewrite
from ztproxy.edge.target import Path, read_path
from ztproxy.upstream.rewriting import rewriting


@pytest.mark.parametrize(
    ("prefix", "to", "path", "expected"),
    [
        ("/api/", "/v2/", "/api/x", "/v2/x"),
        ("/api/", "/v2/", "/api/", "/v2/"),
        ("/api/", "/", "/api/x/y", "/x/y"),
        ("/api/", "/", "/api/", "/"),
        ("/api", "/v2", "/api", "/v2"),
        ("/api", "/", "/api", "/"),
        ("/api", "/", "/api/", "/"),
        ("/api", "/v2", "/api/x%20y", "/v2/x%20y"),
        ("/", "/v2/", "/x", "/v2/x"),
        ("/", "/v2/", "/", "/v2/"),
        ("/api", "/v2", "/apiary", "/apiary"),
        ("/api/", "/v2/", "/other", "/other"),
    ],
)
def test_whole_segments_change_place(prefix, to, path, expected):
    assert rewriting(Rewrite(prefix=prefix, to=to))(path) == expected


SEGMENT = st.text("abc.%-~", min_size=1, max_size=4).filter(
    lambda text: isinstance(read_path(f"/{text}".encode()), Path)
)
PATH = st.builds(
    lambda parts, end: "/" + "/".join(parts) + end * bool(parts),
    st.lists(SEGMENT, max_size=3),
    st.sampled_from(["", "/"]),
)
PLAIN = st.sampled_from(["/", "/a", "/a/b"])


@given(PLAIN, PLAIN, PATH)
def test_what_was_canonical_stays_so(prefix, to, path):
    rewritten = rewriting(Rewrite(prefix=prefix, to=to))(path)
    assert isinstance(read_path(rewritten.encode()), Path)
