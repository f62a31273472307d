"""How sizes are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztproxy.config.sizes import parse_size, write_size


@pytest.mark.parametrize(
    ("written", "octets"),
    [("0B", 0), ("500B", 500), ("32KiB", 32_768), ("1MiB", 1 << 20), ("2GiB", 2 << 30), (0, 0), (4096, 4096)],
)
def test_a_size_is_a_number_and_a_unit(written, octets):
    assert parse_size(written) == octets


@pytest.mark.parametrize(
    "wrong", ["", "1", "1k", "1KB", "1 KiB", "-1B", "1.5KiB", "KiB", -1, True, 1.0, None, [], "1kib"]
)
def test_what_is_no_size_is_refused(wrong):
    with pytest.raises(ValueError, match="a size is a whole number and a unit"):
        parse_size(wrong)


@given(st.integers(0, 1 << 40).map(lambda octets: octets - octets % (1 << 10)) | st.integers(0, 999_999_999))
def test_what_is_written_is_read_again(octets):
    assert parse_size(write_size(octets)) == octets
