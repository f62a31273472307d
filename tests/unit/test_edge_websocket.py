import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.websocket import frame
from ztproxy.edge.websocket import CloseCode, Frames, close_frame

FRAMES = st.builds(
    frame,
    st.sampled_from([0, 1, 2, 9, 10]),
    st.sampled_from([0, 1, 125, 126, 127, 65535, 65536]).map(bytes),
    final=st.booleans(),
    mask=st.sampled_from([b"", b"abcd"]),
)


@given(st.lists(FRAMES, max_size=5), st.data())
def test_it_is_between_frames_exactly_where_one_ends(frames, data):
    octets = b"".join(frames)
    ends = {sum(map(len, frames[:count])) for count in range(len(frames) + 1)}
    cuts = data.draw(st.lists(st.integers(0, len(octets)), max_size=12).map(sorted))
    passing = Frames()
    before = 0
    for cut in [*cuts, len(octets)]:
        passing.pass_on(octets[before:cut])
        before = cut
        assert passing.between is (cut in ends)
    assert not passing.closing


def test_octet_by_octet_too():
    passing = Frames()
    octets = frame(2, bytes(300)) + frame(8, b"\x03\xe8")
    seen = []
    for at in range(len(octets)):
        passing.pass_on(octets[at : at + 1])
        seen += [at + 1] if passing.between else []
    assert seen == [304, 308]
    assert passing.closing


def test_a_close_frame_says_why():
    assert close_frame(CloseCode.POLICY_VIOLATION, "token-expired") == frame(8, b"\x03\xf0token-expired")


@pytest.mark.parametrize("reason", ["", "x" * 123, "x" * 500])
def test_a_close_frame_is_never_too_long(reason):
    passing = Frames()
    made = close_frame(CloseCode.GOING_AWAY, reason)
    passing.pass_on(made)
    assert len(made) <= 127
    assert (passing.between, passing.closing) == (True, True)
