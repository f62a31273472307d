"""What is written about introspection, and where it is wrong."""

import pytest
from pydantic import ValidationError

from ztproxy.config.introspection import Introspection
from ztproxy.config.loading import ConfigError, load

SECTION = {"client_id": "ztproxy", "client_authentication": "none"}
POLICY = "package ztproxy.authz\n\ndecision := true\n"


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"endpoint": "http://login.test/introspect"}, "https"),
        ({"endpoint": "https:///introspect"}, "https"),
        ({"endpoint": "https://user@login.test/"}, "https"),
        ({"cache": "0s"}, "at most 1h"),
        ({"cache": "61m"}, "at most 1h"),
        ({"timeout": "0ms"}, "at most 30s"),
        ({"timeout": "31s"}, "at most 30s"),
        ({"maximum_in_flight": 0}, "maximum_in_flight"),
        ({"maximum_in_flight": 1025}, "maximum_in_flight"),
        ({"tokens": "signed"}, "tokens"),
        ({"verify_signatures": False}, "goes with `tokens: all`"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_what_will_not_do(change, wrong):
    with pytest.raises(ValidationError, match=wrong):
        Introspection.model_validate(SECTION | change)


def test_what_is_meant_when_nothing_is_said():
    section = Introspection.model_validate(SECTION)
    assert (section.tokens, section.cache, section.timeout) == ("opaque", 30.0, 5.0)
    assert section.endpoint is None
    assert section.verify_signatures
    assert not section.client_as_subject


def written(folder, issuers, route=""):
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "a.rego").write_text(POLICY)
    sections = "\n".join(
        f"  - issuer: {issuer}\n    audiences: [a]\n    introspection: {section}" for issuer, section in issuers
    )
    path = folder / "ztproxy.yaml"
    path.write_text(
        f"version: 1\nlisteners:\n  - {{address: '127.0.0.1:8080', protocol: http}}\nissuers:\n{sections}\n"
        "policy: {path: policies}\nroutes:\n"
        f"  - {{name: r, hosts: [a.test], require: [token], upstream: {{servers: ['http://127.0.0.1:1']}}{route}}}\n"
    )
    return path


def problems(path):
    with pytest.raises(ConfigError) as wrong:
        load(path)
    return str(wrong.value)


def test_two_that_are_asked_on_one_route_are_said_with_their_place(tmp_path):
    client = "{client_id: c, client_authentication: none}"
    issuers = [("https://a.test", client), ("https://b.test", client)]
    said = problems(written(tmp_path, issuers, ", issuers: ['https://a.test', 'https://b.test']"))
    assert "ztproxy.yaml:13:" in said
    assert "https://a.test and https://b.test are both asked about opaque tokens" in said


def test_a_secret_that_the_environment_does_not_have_is_said_with_its_place(tmp_path):
    client = "{client_id: c, client_secret: {env: ZTPROXY_TEST_NO_SUCH_NAME}}"
    said = problems(written(tmp_path, [("https://a.test", client)]))
    assert "ztproxy.yaml:7:" in said
    assert "ZTPROXY_TEST_NO_SUCH_NAME" in said


def test_a_section_that_is_whole_is_read(tmp_path):
    (tmp_path / "secret").write_text("s\n")
    client = "{client_id: c, client_secret: {file: secret}, cache: 1m}"
    settings = load(written(tmp_path, [("https://a.test", client)]))
    section = settings.issuers[0].introspection
    assert section.client_secret.file == tmp_path / "secret"
    assert section.authentication == "client_secret_basic"
