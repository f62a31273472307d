import json
from pathlib import Path

import pytest

from ztproxy.config import reference
from ztproxy.config.checks import shared_limits
from ztproxy.config.loading import ConfigError, find, load, parse
from ztproxy.config.settings import Settings

PLAIN = """\
version: 1
listeners: [{address: "127.0.0.1:8080", protocol: http}]
policy: {path: .}
routes:
  - name: all
    hosts: ["*"]
    require: []
    upstream: {servers: ["http://127.0.0.1:9000"]}
"""


def problems(text: str, folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, folder / "z.yaml")
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


def test_a_complete_configuration_is_read_and_immutable(tmp_path):
    settings = parse(PLAIN, tmp_path / "z.yaml")
    assert settings.routes[0].paths == ("/",)
    assert settings.policy.path == tmp_path
    assert settings.state == tmp_path / "var"
    with pytest.raises(ValueError, match="frozen"):
        settings.version = 2


def test_json_is_yaml(tmp_path):
    text = json.dumps(
        {
            "version": 1,
            "listeners": [{"address": "127.0.0.1:0", "protocol": "http"}],
            "policy": {"path": "."},
            "routes": [{"name": "a", "hosts": ["*"], "require": [], "upstream": {"servers": ["http://h"]}}],
        }
    )
    assert isinstance(parse(text, tmp_path / "z.json"), Settings)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("protocol: http}", "protocl: http}", "z.yaml:2:41: unknown key `protocl`; did you mean `protocol`?"),
        ("require: []", "x: 1\n    require: []", "z.yaml:7:5: unknown key `x`; known: "),
        ("    require: []\n", "", "z.yaml:5:5: `routes.0`: the key `require` is missing; say [certificate]"),
        ("version: 1", "version: 2", "z.yaml:1:1: `version`: input should be 1"),
        ("version: 1", "version: 1\nversion: 1", "z.yaml:2:1: the key `version` stands here twice"),
        ("127.0.0.1:8080", "0.0.0.0:8080", "z.yaml:2:13: `listeners.0`: plaintext on an address that is not loopback"),
        ("http://127.0.0.1:9000", "http://h/x", "z.yaml:8:26: `routes.0.upstream.servers.0`: a server is http://HOST"),
        ("http://127.0.0.1:9000", "http://h:99999", "z.yaml:8:26: `routes.0.upstream.servers.0`: Port out of range"),
        ("{path: .}", "{path: nowhere}", "z.yaml:3:10: `policy.path`: "),
        (
            "{path: .}",
            "{engine: server, server: {url: http://10.0.0.1:8181}}",
            "z.yaml:3:35: plain http on loopback only",
        ),
        ("{path: .}", "{engine: embedded}", "z.yaml:3:1: no policy: name a directory"),
        ("require: []", "require: [token]", "z.yaml:7:5: a token is required, but no issuer's tokens count here"),
        ("require: []", "require: [certificate]", "z.yaml:7:5: a certificate is required, but no authority's"),
        (
            "require: []",
            "require: []\n    limits: [{key: token.sub, rate: 1/second}]",
            "a bucket's key is source.address",
        ),
        ("require: []", "require: []\n    limits: [{key: route, rate: 0/second}]", "a rate is a whole number above 0"),
        (
            "require: []",
            "require: []\n    issuers: [https://i]",
            "no issuer https://i is configured; none is configured",
        ),
        ("require: []", "require: []\n    paths: [/a/../b]", "a path has no dot segments"),
        ("require: []", "require: []\n    paths: [api]", "a path starts with /"),
        ("version: 1", "version: 1\ndecisions: {required: true}", "z.yaml:2:13: decisions are required, but"),
        (
            "version: 1",
            "version: 1\nlimits: {storage: redis://u:p@h}",
            "a password does not stand in the configuration",
        ),
        (
            "version: 1",
            "version: 1\nlimits: {storage: 'machine://here', rules: []}",
            "`limits.storage`: string should match pattern",
        ),
        (
            "version: 1",
            "version: 1\nlimits: {storage: 'machine://', password: {env: HOME}}",
            "machine:// takes no password",
        ),
        (
            "version: 1",
            "version: 1\nlimits: {storage: redis://h, password: {env: ZT_NONE}}",
            "the environment has no ZT_NONE",
        ),
        ("version: 1", "version: [1", "not valid YAML"),
        ("version: 1", "version: !!python/object:os.system x", "has no meaning here"),
        ("version: 1", "version: &a [*a]", "an alias holds itself"),
        (PLAIN, "", "z.yaml:1:1: the file is empty"),
        (PLAIN, "- a", "z.yaml:1:1: a configuration is a mapping of keys"),
        (
            "version: 1",
            "version: 1\nissuers: [{issuer: http://i, audiences: [a]}]",
            "an issuer is reached over https only",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, old, new, expected):
    assert expected in "\n".join(problems(PLAIN.replace(old, new), tmp_path))


def test_two_routes_never_share_a_host_and_path(tmp_path):
    second = PLAIN[PLAIN.index("  - name") :].replace("name: all", "name: other")
    assert problems(PLAIN + second, tmp_path) == ["z.yaml:9:5: */ belongs to the route all already"]


def test_several_issuers_demand_that_a_route_says_whose_tokens_count(tmp_path):
    issuers = "issuers: [{issuer: 'https://a', audiences: [x]}, {issuer: 'https://b', audiences: [x]}]\n"
    assert "route all: several issuers are configured" in problems(PLAIN + issuers, tmp_path)[0]


@pytest.mark.parametrize(
    ("more", "route", "place"),
    [
        ("limits: {rules: [{key: source.address, rate: 1/hour}]}\n", "", ("limits", "rules", 0)),
        ("limits: {storage: 'memory://', rules: [{key: route, rate: 1/hour}]}\n", "", ("limits", "storage")),
        ("", "    limits: [{key: route, rate: 1/hour}]\n", ("routes", 0, "limits", 0)),
    ],
)
def test_workers_that_would_each_count_for_themselves_are_refused_where_the_line_to_change_is(
    tmp_path, more, route, place
):
    settings = parse(PLAIN + route + more, tmp_path / "z.yaml")
    ((found, why),) = shared_limits(settings, 2)
    assert found == place
    assert "storage: machine://" in why
    assert not list(shared_limits(settings, 1))


@pytest.mark.parametrize("storage", ["machine://", "machine:///run/ztproxy", "redis://h"])
def test_workers_that_count_together_are_not(tmp_path, storage):
    more = f"limits: {{storage: '{storage}', rules: [{{key: source.address, rate: 1/hour}}]}}\n"
    assert not list(shared_limits(parse(PLAIN + more, tmp_path / "z.yaml"), 8))
    assert not list(shared_limits(parse(PLAIN, tmp_path / "z.yaml"), 8))


def test_off_is_a_word_not_a_boolean(tmp_path):
    assert parse(PLAIN + "logs: {access: off}\n", tmp_path / "z.yaml").logs.access == "off"


def test_the_policy_option_takes_the_place_of_the_path(tmp_path):
    (tmp_path / "p").mkdir()
    assert parse(PLAIN, tmp_path / "z.yaml", tmp_path / "p").policy.path == tmp_path / "p"


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml:1:1: No such file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 0"):
        load(tmp_path / "latin.yaml")


def test_which_file_is_meant(tmp_path):
    assert find(None, {}, tmp_path) is None
    (tmp_path / "ztproxy.yaml").touch()
    assert find(None, {}, tmp_path) == tmp_path / "ztproxy.yaml"
    assert find(None, {"ZTPROXY_CONFIG": "/x"}, tmp_path) == Path("/x")
    assert find(Path("a"), {"ZTPROXY_CONFIG": "/x"}, tmp_path) == Path("a")


def test_the_effective_values_can_be_read_back(tmp_path):
    settings = parse(PLAIN, tmp_path / "z.yaml")
    assert parse(reference.effective(settings), tmp_path / "z.yaml") == settings


def test_the_reference_describes_every_key():
    text = reference.markdown()
    assert f"{text}\n" == Path("docs/configuration.md").read_text(), "run `make docs`"
    assert "`routes[].upstream.timeouts`" in text


def test_the_schema_refuses_unknown_keys():
    made = reference.schema()
    assert made["additionalProperties"] is False
    assert made["$defs"]["Listener"]["properties"]["address"]["type"] == "string"
