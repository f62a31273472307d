import pytest

from ztproxy.config import secrets
from ztproxy.config.values import (
    Secret,
    TcpAddress,
    parse_address,
    parse_duration,
    parse_host_pattern,
    parse_network,
    parse_path_prefix,
    parse_rate,
    write_duration,
    write_rate,
)


@pytest.mark.parametrize(("text", "seconds"), [("250ms", 0.25), ("2s", 2), ("5m", 300), ("1h", 3600), ("1d", 86400)])
def test_durations_are_read_and_written(text, seconds):
    assert parse_duration(text) == seconds
    assert write_duration(parse_duration(text)) == text


@pytest.mark.parametrize("text", ["30", "-1s", "1.5s", "1 s", "s", "1s\n", 30, None, True])
def test_anything_else_is_no_duration(text):
    with pytest.raises(ValueError, match="a duration is"):
        parse_duration(text)


def test_rates():
    assert parse_rate("100/second") == (100, 1.0)
    assert write_rate(parse_rate("20/minute")) == "20/minute"
    for wrong in ("0/second", "100/s", "100", "1/second\n", 5):
        with pytest.raises(ValueError, match="a rate is"):
            parse_rate(wrong)


def test_addresses():
    assert parse_address("[::1]:8443") == TcpAddress("::1", 8443)
    assert str(parse_address("[::1]:8443")) == "[::1]:8443"
    assert str(parse_address("unix:/run/x.sock")) == "unix:/run/x.sock"
    for wrong in ("8443", "localhost", "h:70000", "unix:relative", "a b:1", 1):
        with pytest.raises(ValueError, match="an address is"):
            parse_address(wrong)


def test_networks_have_no_host_bits():
    assert str(parse_network("10.0.0.0/8")) == "10.0.0.0/8"
    with pytest.raises(ValueError, match="host bits"):
        parse_network("10.0.0.1/8")


def test_host_patterns_are_lower_case():
    assert parse_host_pattern("*.Corp.Example") == "*.corp.example"
    assert parse_host_pattern("[::1]") == "::1"
    for wrong in ("a.*.b", "http://x", "a b", "", "a_."):
        with pytest.raises(ValueError, match="a host is"):
            parse_host_pattern(wrong)


def test_path_prefixes_are_canonical():
    assert parse_path_prefix("/a/b") == "/a/b"
    for wrong in ("a", "/a//b", "/a/../b", "/a%2fb", "/a\\b", "/a;b", "/a?b", "/\n"):
        with pytest.raises(ValueError, match="a path"):
            parse_path_prefix(wrong)


def test_a_secret_stands_in_one_place(tmp_path, monkeypatch):
    monkeypatch.setenv("ZT_TEST_SECRET", "s3")
    assert secrets.read(Secret(env="ZT_TEST_SECRET")) == "s3"
    file = tmp_path / "s"
    file.write_text("s4\n")
    assert secrets.read(Secret(file=file)) == "s4"
    with pytest.raises(ValueError, match="either"):
        Secret()
    monkeypatch.delenv("ZT_TEST_SECRET")
    with pytest.raises(LookupError, match="ZT_TEST_SECRET"):
        secrets.read(Secret(env="ZT_TEST_SECRET"))
