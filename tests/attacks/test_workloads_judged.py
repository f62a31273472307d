"""A workload is who its own trust domain says it is, and nobody else: X509-SVIDs and JWT-SVIDs on a route."""

import asyncio
import json
import time

import pytest

from tests.pki import CLIENT, SERVER, Authority
from tests.tokens import encode, private_key, signer
from tests.workloads import BOTH, Domain, usage
from ztproxy.config.settings import Settings
from ztproxy.identity import Clock, Identity, describe
from ztproxy.model import Arrived, Connection, Identified, Reason, Routed
from ztproxy.spiffe import files

PROD, PARTNER, STRANGER = Domain("prod.example"), Domain("partner.example"), Domain("stranger.example")
ROOT = Authority.new("Ordinary Root")
NOW = time.time()


def settings_of(folder, *, authorities=(), domains=("prod.example", "partner.example"), routes=None, **options):
    gateway, key = ROOT.server().write(folder, "gateway")
    section = {
        "trust_domain": "prod.example",
        "bundle": PROD.write_bundle(folder),
        "federated": [{"trust_domain": "partner.example", "bundle": PARTNER.write_bundle(folder, pem=True)}],
    }
    tokens = ["spiffe://prod.example"]
    return Settings.model_validate(
        {
            "version": 1,
            "spiffe": section,
            "listeners": [
                {
                    "address": "127.0.0.1:8443",
                    "certificates": [{"certificate": gateway, "key": key}],
                    "client_certificates": {"authorities": authorities, "trust_domains": domains, "mode": "optional"},
                }
            ],
            "issuers": [{"issuer": name, "audiences": ["ztproxy"]} for name in tokens],
            "routes": [
                {
                    "name": name,
                    "hosts": ["*"],
                    "paths": [f"/{name}/"],
                    "require": [],
                    "upstream": {"servers": ["http://127.0.0.1:1"]},
                    **said,
                }
                for name, said in (routes or ROUTES).items()
            ],
            **options,
        }
    )


ROUTES = {
    "prod": {"spiffe_ids": ["spiffe://prod.example/**"]},
    "both": {"spiffe_ids": ["spiffe://prod.example/**", "spiffe://partner.example/**"]},
    "shop": {"spiffe_ids": ["spiffe://prod.example/ns/shop/*"]},
    "one": {"spiffe_ids": ["spiffe://prod.example/ns/shop/orders"]},
}


@pytest.fixture
async def ask(tmp_path):
    asked = Asking(settings_of(tmp_path))
    yield asked
    await asyncio.wait_for(asked.identity.close(), 5)


class Asking:
    def __init__(self, settings):
        workload = files.read(settings.spiffe, NOW)
        self.identity = Identity.build(settings, clock=Clock(lambda: NOW, lambda: 0.0), workload=workload)

    async def __call__(self, route, leaf=None, *chain, token=None, now=NOW):
        shown = None if leaf is None else describe((leaf.der, *(one.der for one in chain)))
        arrived = Arrived(
            request_id="1", wall=now, monotonic=0.0,
            connection=Connection("127.0.0.1:8443", "https", "192.0.2.1", 1, 8443, None, shown),
            source="192.0.2.1", method="GET", scheme="https", host="h", port=443, authority=b"h", path="/",
            segments=(), query="", has_query=False, fields=(),
            unverified_authorization=() if token is None else (b"Bearer " + token,), content_length=0,
        )  # fmt: skip
        return await self.identity.identify(Routed(arrived, route))


def good(identified):
    assert isinstance(identified, Identified), identified
    return identified.certificate.spiffe_id if identified.certificate else identified.token.subject


def refused(outcome):
    assert not isinstance(outcome, Identified), outcome
    return outcome.reason


async def test_a_workload_comes_in_by_its_own_domains_bundle(ask):
    assert good(await ask("prod", PROD.svid("/a"), PROD.authority)) == "spiffe://prod.example/a"
    assert good(await ask("both", PARTNER.svid("/b"), PARTNER.authority)) == "spiffe://partner.example/b"


async def test_an_authority_of_one_domain_vouches_for_no_id_of_another(ask):
    posing = PARTNER.svid(uri=["spiffe://prod.example/orders"])
    for route in ROUTES:
        outcome = await ask(route, posing, PARTNER.authority)
        assert refused(outcome) is Reason.CERTIFICATE_UNTRUSTED_HERE
        assert "own trust domain" in outcome.detail
    below = PARTNER.authority.subordinate("prod.example", path_length=0)
    deep = below.issue(None, uri=["spiffe://prod.example/orders"], eku=BOTH)
    assert refused(await ask("both", deep, below, PARTNER.authority)) is Reason.CERTIFICATE_UNTRUSTED_HERE


async def test_an_intermediate_of_its_own_domain_does(ask):
    below = PROD.authority.subordinate("a region", path_length=0)
    leaf = below.issue(None, uri=["spiffe://prod.example/orders"], eku=BOTH)
    assert good(await ask("prod", leaf, below, PROD.authority)) == "spiffe://prod.example/orders"


async def test_an_id_of_an_unknown_domain_is_nobodys(ask):
    for authority in (STRANGER.authority, PROD.authority):
        leaf = authority.issue(None, uri=["spiffe://stranger.example/orders"], eku=BOTH)
        assert refused(await ask("both", leaf, authority)) is Reason.CERTIFICATE_UNTRUSTED_HERE


NO_SVIDS = {
    "two URI names": ({"uri": ["spiffe://prod.example/a", "https://a.example/"]}, "more than one URI"),
    "no URI name": ({"uri": [], "dns": ["a.example"]}, "no SPIFFE ID"),
    "another URI": ({"uri": ["https://prod.example/a"]}, "no SPIFFE ID"),
    "the trust domain's own ID": ({"uri": ["spiffe://prod.example"]}, "no workload's"),
    "a port": ({"uri": ["spiffe://prod.example:8443/a"]}, "no workload's"),
    "user information": ({"uri": ["spiffe://root@prod.example/a"]}, "no workload's"),
    "a query": ({"uri": ["spiffe://prod.example/a?b"]}, "no workload's"),
    "a fragment": ({"uri": ["spiffe://prod.example/a#b"]}, "no workload's"),
    "upper case": ({"uri": ["spiffe://PROD.example/a"]}, "no workload's"),
    "another scheme's case": ({"uri": ["SPIFFE://prod.example/a"]}, "no workload's"),
    "an escape": ({"uri": ["spiffe://prod.example/%61"]}, "no workload's"),
    "dots": ({"uri": ["spiffe://prod.example/a/../b"]}, "no workload's"),
    "an empty segment": ({"uri": ["spiffe://prod.example/a//b"]}, "no workload's"),
    "a slash at the end": ({"uri": ["spiffe://prod.example/a/"]}, "no workload's"),
    "too long": ({"uri": ["spiffe://prod.example/" + "a" * 2048]}, "no workload's"),
}


@pytest.mark.parametrize(("options", "why"), NO_SVIDS.values(), ids=NO_SVIDS)
async def test_what_is_no_svid_is_refused_with_why(ask, options, why):
    outcome = await ask("both", PROD.svid(**options), PROD.authority)
    assert refused(outcome) is Reason.CERTIFICATE_UNTRUSTED_HERE
    assert why in outcome.detail


USAGES = {
    "no digital signatures": (("key_agreement",), "digital signatures"),
    "signs certificates": (("digital_signature", "key_cert_sign"), "sign certificates"),
    "signs revocation lists": (("digital_signature", "crl_sign"), "sign certificates"),
}


@pytest.mark.parametrize(("names", "why"), USAGES.values(), ids=USAGES)
async def test_a_key_for_another_use_makes_no_svid(ask, names, why):
    leaf = with_usage(PROD, usage(*names))
    outcome = await ask("both", leaf, PROD.authority)
    assert refused(outcome) is Reason.CERTIFICATE_UNTRUSTED_HERE
    assert why in outcome.detail


def with_usage(domain, key_usage):
    """An SVID whose key usage is this one."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    from tests.pki import Leaf

    made = domain.svid()
    builder = x509.CertificateBuilder(
        made.certificate.issuer, made.certificate.subject, made.certificate.public_key(),
        made.certificate.serial_number, made.certificate.not_valid_before_utc, made.certificate.not_valid_after_utc,
    )  # fmt: skip
    for one in made.certificate.extensions:
        value = key_usage if isinstance(one.value, x509.KeyUsage) else one.value
        builder = builder.add_extension(value, critical=one.critical)
    return Leaf(builder.sign(domain.authority.key, hashes.SHA256()), made.key)


async def test_an_authority_is_no_workload(ask):
    outcome = await ask("both", PROD.svid(ca=True), PROD.authority)
    assert refused(outcome) is Reason.CERTIFICATE_UNSUITABLE


async def test_a_svid_for_servers_alone_is_no_clients(ask):
    assert refused(await ask("both", PROD.svid(eku=(SERVER,)), PROD.authority)) is Reason.CERTIFICATE_UNSUITABLE
    assert good(await ask("both", PROD.svid(eku=(CLIENT,)), PROD.authority))


async def test_a_svid_counts_no_longer_than_it_says(ask):
    leaf = PROD.svid()
    late = leaf.certificate.not_valid_after_utc.timestamp() + 1
    assert refused(await ask("both", leaf, PROD.authority, now=late)) is Reason.CERTIFICATE_EXPIRED


@pytest.mark.parametrize(
    ("route", "path", "counts"),
    [
        ("shop", "/ns/shop/orders", True),
        ("shop", "/ns/shop/orders/x", False),
        ("shop", "/ns/shop", False),
        ("shop", "/ns/shops/orders", False),
        ("shop", "/NS/shop/orders", False),
        ("one", "/ns/shop/orders", True),
        ("one", "/ns/shop/orders2", False),
        ("prod", "/ns/shop/orders/x", True),
    ],
)
async def test_a_route_takes_the_ids_that_it_names_and_no_others(ask, route, path, counts):
    outcome = await ask(route, PROD.svid(path), PROD.authority)
    assert isinstance(outcome, Identified) is counts
    assert counts or outcome.reason is Reason.SPIFFE_ID_REFUSED
    # the same path in another domain is another workload
    assert refused(await ask(route, PARTNER.svid(path), PARTNER.authority)) is Reason.SPIFFE_ID_REFUSED


async def test_an_ordinary_authority_vouches_for_no_spiffe_id(tmp_path):
    root = ROOT.write(tmp_path, "root")
    ask = Asking(
        settings_of(
            tmp_path,
            authorities=[root],
            domains=["prod.example"],
            routes={"people": {"authorities": [root]}, "all": {"authorities": [root], "spiffe_ids": [PROD.id("/**")]}},
        )
    )
    assert isinstance(await ask("people", ROOT.issue("alice"), ROOT), Identified)
    assert isinstance(await ask("all", ROOT.issue("alice"), ROOT), Identified)
    assert good(await ask("all", PROD.svid(), PROD.authority))
    assert refused(await ask("people", PROD.svid(), PROD.authority)) is Reason.SPIFFE_ID_REFUSED
    for route in ("people", "all"):
        posing = ROOT.issue("alice", uri=["spiffe://prod.example/orders"])
        assert refused(await ask(route, posing, ROOT)) is Reason.CERTIFICATE_UNTRUSTED_HERE


# -- JWT-SVIDs


async def test_a_jwt_svid_is_its_trust_domains(ask):
    for claims in ({}, {"iss": "https://oidc.prod.example"}):
        identified = await ask("prod", token=PROD.token("/a", **claims))
        assert good(identified) == "spiffe://prod.example/a"
        assert identified.token.issuer == "spiffe://prod.example"


WRONG_TOKENS = {
    "another audience": (PROD.token(aud=["other"]), Reason.TOKEN_AUDIENCE_MISMATCH),
    "no audience": (PROD.token(aud=[]), Reason.TOKEN_MALFORMED),
    "expired": (PROD.token(exp=1), Reason.TOKEN_EXPIRED),
    "an unknown key": (PROD.token(header={"kid": "another"}), Reason.TOKEN_KEY_UNKNOWN),
    "no algorithm": (PROD.token(header={"alg": "none"}), Reason.TOKEN_ALGORITHM_REFUSED),
    "EdDSA": (PROD.token(header={"alg": "EdDSA"}), Reason.TOKEN_ALGORITHM_REFUSED),
    "HS256": (PROD.token(header={"alg": "HS256"}), Reason.TOKEN_ALGORITHM_REFUSED),
    "a domain that is no issuer": (PARTNER.token(), Reason.TOKEN_ISSUER_UNKNOWN),
    "a subject that is no ID": (PROD.token(sub="alice"), Reason.TOKEN_MALFORMED),
    "the trust domain's own ID": (PROD.token(sub="spiffe://prod.example"), Reason.TOKEN_MALFORMED),
    "an issuer's name alone": (PROD.token(sub="alice", iss="spiffe://prod.example"), Reason.TOKEN_MALFORMED),
    "another domain's subject": (
        PROD.token(sub="spiffe://partner.example/a", iss="spiffe://prod.example"), Reason.TOKEN_MALFORMED,
    ),
    "another domain's key": (
        encode(
            {"alg": "ES256", "kid": PROD.key_id},
            {"sub": "spiffe://prod.example/a", "aud": "ztproxy", "exp": 4_000_000_000},
            signer("ES256", private_key("ES256", "nobody's")),
        ),
        Reason.TOKEN_SIGNATURE_INVALID,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("token", "reason"), WRONG_TOKENS.values(), ids=WRONG_TOKENS)
async def test_a_jwt_svid_that_is_wrong_is_refused(ask, token, reason):
    assert refused(await ask("prod", token=token)) is reason


async def test_a_route_bounds_jwt_svids_by_their_ids_too(ask):
    assert good(await ask("one", token=PROD.token("/ns/shop/orders")))
    for _ in range(2):  # the second is remembered
        outcome = await ask("one", token=PROD.token("/ns/shop/other"))
        assert (refused(outcome), outcome.status) == (Reason.SPIFFE_ID_REFUSED, 403)


async def test_a_key_for_certificates_signs_no_tokens(tmp_path):
    bundle = PROD.bundle()
    for one in bundle["keys"]:
        one["use"] = "x509-svid" if one["use"] == "jwt-svid" else one["use"]
    settings = settings_of(tmp_path)
    settings.spiffe.bundle.write_text(json.dumps(bundle))
    assert refused(await Asking(settings)("prod", token=PROD.token())) is Reason.ISSUER_KEYS_UNAVAILABLE
