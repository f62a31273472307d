"""What a configuration may say about workloads, and what of it stops the start with its place."""

from pathlib import Path

import pytest
import yaml

from tests.workloads import Domain
from ztproxy.config.loading import ConfigError, parse
from ztproxy.config.spiffe_ids import Ids, pattern, trust_domain

PROD = Domain("prod.example")


@pytest.fixture
def load(tmp_path):
    PROD.write_svid(tmp_path)
    PROD.write_bundle(tmp_path)
    (tmp_path / "policies").mkdir()

    def loaded(**changes):
        document = {
            "version": 1,
            "spiffe": {
                "trust_domain": "prod.example",
                "svid": {"certificate": "svid.pem", "key": "svid.key"},
                "bundle": "prod.example.json",
                "federated": [{"trust_domain": "partner.example", "bundle": "prod.example.json"}],
            },
            "listeners": [INBOUND, OUTBOUND],
            "policy": {"path": "policies"},
            "routes": [IN, OUT],
        }
        document |= changes
        return parse(yaml.safe_dump(document, sort_keys=False), tmp_path / "z.yaml")

    return loaded


INBOUND = {
    "name": "inbound",
    "address": "127.0.0.1:8443",
    "svid": True,
    "client_certificates": {"trust_domains": ["prod.example"], "mode": "required"},
}
OUTBOUND = {"name": "outbound", "address": "unix:/run/outbound.sock", "protocol": "http", "users": [0]}
IN = {
    "name": "in",
    "hosts": ["orders.example"],
    "listeners": ["inbound"],
    "require": ["certificate"],
    "spiffe_ids": ["spiffe://prod.example/ns/*/web"],
    "upstream": {"servers": ["unix:/run/app.sock"]},
}
OUT = {
    "name": "out",
    "hosts": ["*"],
    "listeners": ["unix:/run/outbound.sock"],
    "require": [],
    "upstream": {
        "servers": ["https://10.0.0.1:8443"],
        "tls": {"svid": True, "spiffe_ids": ["spiffe://partner.example/pay"]},
    },
}


def test_a_sidecar_is_one_configuration(load):
    settings = load()
    assert settings.spiffe.trust_domains == ("prod.example", "partner.example")
    assert [listener.label for listener in settings.listeners] == ["inbound", "outbound"]


def without(section, *keys):
    return {name: value for name, value in section.items() if name not in keys}


def tls(**changes):
    return {**OUT, "upstream": {**OUT["upstream"], "tls": {**OUT["upstream"]["tls"], **changes}}}


FILES = {"trust_domain": "prod.example", "bundle": "prod.example.json"}
API = {"trust_domain": "prod.example", "workload_api": "unix:/run/agent.sock"}
SVID = {"certificate": "svid.pem", "key": "svid.key"}
ASKING = {"mode": "required"}
WRONG = {
    "no section": ({"spiffe": None}, "there is no SVID to show"),
    "no SVID to show": ({"spiffe": FILES, "routes": [IN]}, "neither `svid` nor `workload_api`"),
    "two sources": ({"spiffe": API | FILES}, "either from files"),
    "no source": ({"spiffe": {"trust_domain": "prod.example"}}, "either from files"),
    "files beside the API": ({"spiffe": API | {"svid": SVID}}, "no `svid` files"),
    "a choice among files": ({"spiffe": FILES | {"spiffe_id": "spiffe://prod.example/a"}}, "files hold one"),
    "another domain's ID": ({"spiffe": API | {"spiffe_id": "spiffe://b.example/a"}}, "not of the trust domain"),
    "an ID that is none": ({"spiffe": API | {"spiffe_id": "spiffe://prod.example/*"}}, "nothing encoded"),
    "the API over TCP": ({"spiffe": API | {"workload_api": "tcp:127.0.0.1:80"}}, "unix:/absolute/path"),
    "a domain twice": ({"spiffe": API | {"federated": [{"trust_domain": "prod.example"}]}}, "named twice"),
    "federated without a bundle": (
        {"spiffe": FILES | {"federated": [{"trust_domain": "b.example"}]}},
        "needs a `bundle`",
    ),
    "a bundle beside the API": (
        {"spiffe": API | {"federated": [{"trust_domain": "b.example", "bundle": "prod.example.json"}]}},
        "not from a file",
    ),
    "a name in upper case": ({"spiffe": FILES | {"trust_domain": "Prod.example"}}, "in lower case"),
    "a file that is not there": ({"spiffe": FILES | {"bundle": "nowhere.pem"}}, "no such file"),
    "an unknown domain at a listener": (
        {"listeners": [INBOUND | {"client_certificates": ASKING | {"trust_domains": ["b.example"]}}, OUTBOUND]},
        "neither `spiffe.trust_domain` nor among",
    ),
    "certificates asked of nobody": (
        {"listeners": [INBOUND | {"client_certificates": ASKING}, OUTBOUND]},
        "`trust_domains`",
    ),
    "an SVID over plaintext": ({"listeners": [INBOUND, OUTBOUND | {"svid": True}]}, "belong to `protocol: https`"),
    "two listeners of one name": ({"listeners": [INBOUND, OUTBOUND | {"name": "inbound"}]}, "has this name too"),
    "users over TCP": ({"listeners": [INBOUND | {"users": [0]}, OUTBOUND]}, "belongs to a Unix socket"),
    "a user that nobody knows": ({"listeners": [INBOUND, OUTBOUND | {"users": ["no-such-user"]}]}, "knows no user"),
    "a user that is none": ({"listeners": [INBOUND, OUTBOUND | {"users": [True]}]}, "a name, or a number"),
    "an ID of a domain that nobody lets in": (
        {"routes": [IN | {"spiffe_ids": ["spiffe://partner.example/**"]}, OUT]}, "no listener's `trust_domains`",
    ),
    "no ID": ({"routes": [IN | {"spiffe_ids": []}, OUT]}, "no workload could come in"),
    "a domain for an ID": ({"routes": [IN | {"spiffe_ids": ["spiffe://prod.example"]}, OUT]}, "prod.example/**"),
    "a star within a segment": ({"routes": [IN | {"spiffe_ids": ["spiffe://prod.example/a*"]}, OUT]}, "one segment"),
    "an unknown listener": ({"routes": [IN | {"listeners": ["inbuond"]}, OUT]}, "no listener is called inbuond"),
    "no listener": ({"routes": [IN | {"listeners": []}, OUT]}, "nobody could reach"),
    "our name for whoever comes": ({"routes": [IN, without(OUT, "listeners")]}, "speaks in our name"),
    "an unknown domain upstream": (
        {"routes": [IN, tls(spiffe_ids=["spiffe://b.example/**"])]},
        "neither `spiffe.trust",
    ),
    "no ID upstream": ({"routes": [IN, tls(spiffe_ids=[])]}, "at least 1"),
    "authorities beside IDs": ({"routes": [IN, tls(authorities=["svid.pem"])]}, "no `authorities`"),
    "a certificate beside the SVID": ({"routes": [IN, tls(**SVID)]}, "no `certificate`"),
    "an issuer of an unknown domain": (
        {"issuers": [{"issuer": "spiffe://b.example", "audiences": ["a"]}]}, "neither `spiffe.trust_domain`",
    ),
    "an issuer with keys of its own": (
        {"issuers": [{"issuer": "spiffe://prod.example", "audiences": ["a"], "jwks_uri": "https://a.example/"}]},
        "has no effect",
    ),
    "an issuer that signs with EdDSA": (
        {"issuers": [{"issuer": "spiffe://prod.example", "audiences": ["a"], "algorithms": ["EdDSA"]}]},
        "JWT-SVID §2.1",
    ),
    "an issuer with a path": (
        {"issuers": [{"issuer": "spiffe://prod.example/x", "audiences": ["a"]}]}, "in lower case",
    ),
    "several domains and nothing said": (
        {
            "listeners": [
                INBOUND | {"client_certificates": ASKING | {"trust_domains": ["prod.example", "partner.example"]}},
                OUTBOUND,
            ],
            "routes": [without(IN, "spiffe_ids"), OUT],
        },
        "must say whose count here",
    ),
    "one place twice": ({"routes": [IN, IN | {"name": "again"}, OUT]}, "belongs to the route in already"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "why"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_meant_is_refused_at_its_place(load, changes, why):
    with pytest.raises(ConfigError) as wrong:
        load(**changes)
    assert any(why in problem.message for problem in wrong.value.problems), wrong.value
    assert all(problem.line > 0 for problem in wrong.value.problems)


def test_one_domain_needs_no_ids_and_one_place_has_a_route_for_each_listener(load):
    settings = load(
        routes=[without(IN, "spiffe_ids"), OUT, IN | {"name": "else", "listeners": ["outbound"], "require": []}]
    )
    assert len(settings.routes) == 3


@pytest.mark.parametrize(
    "value",
    [
        "spiffe://a", "spiffe://a/", "spiffe://a//b", "spiffe://a/../b", "spiffe://a/b/", "spiffe://A/b",
        "spiffe://*/b",
        "spiffe://a/**/b", "spiffe://a/b**", "spiffe://a:1/b", "spiffe://u@a/b", "spiffe://a/b?c", "spiffe://a/%62",
        "SPIFFE://a/b", "https://a/b", "a/b", "", "spiffe://a/b\n", "spiffe://a/" + "b" * 2048,
    ],
)  # fmt: skip
def test_what_is_no_pattern(value):
    with pytest.raises(ValueError, match=r"SPIFFE IDs|own ID"):
        pattern(value)


@pytest.mark.parametrize(
    ("patterns", "spiffe_id", "meant"),
    [
        (["spiffe://a/b"], "spiffe://a/b", True),
        (["spiffe://a/b"], "spiffe://a/b/c", False),
        (["spiffe://a/b/*"], "spiffe://a/b/c", True),
        (["spiffe://a/b/*"], "spiffe://a/b", False),
        (["spiffe://a/b/*"], "spiffe://a/b/c/d", False),
        (["spiffe://a/*/c"], "spiffe://a/b/c", True),
        (["spiffe://a/**"], "spiffe://a/b/c", True),
        (["spiffe://a/**"], "spiffe://a.b/c", False),
        (["spiffe://a/b/**"], "spiffe://a/b", False),
        (["spiffe://a/b/**"], "spiffe://a/bc/d", False),
        (["spiffe://a/*/**"], "spiffe://a/b", False),
        (["spiffe://a/*/**"], "spiffe://a/b/c", True),
        (["spiffe://a/b", "spiffe://a/c/*"], "spiffe://a/c/d", True),
        ([], "spiffe://a/b", False),
    ],
)
def test_whole_segments_are_compared(patterns, spiffe_id, meant):
    assert (spiffe_id in Ids(tuple(patterns))) is meant


def test_a_trust_domain_may_be_written_as_its_id():
    assert trust_domain("spiffe://prod.example") == "prod.example"


def test_the_manifest_for_kubernetes_holds_a_configuration(tmp_path):
    text = (Path(__file__).parents[2] / "deploy/sidecar/kubernetes.yaml").read_text()
    held, deployment = yaml.safe_load_all(text)
    (tmp_path / "policies").mkdir()
    settings = parse(held["data"]["sidecar.yaml"], tmp_path / "sidecar.yaml")
    assert settings.spiffe.workload_api == "unix:/spiffe-workload-api/spire-agent.sock"
    pod = deployment["spec"]["template"]["spec"]
    mounts = {one["mountPath"] for one in pod["initContainers"][0]["volumeMounts"]}
    assert mounts == {"/etc/ztproxy", "/sockets", "/state", "/spiffe-workload-api"}
    assert pod["containers"][0]["securityContext"]["runAsUser"] in settings.listeners[1].users
