"""Where bound tokens are demanded no other one counts, and each binding holds on every use, on whatever connection."""

import time

import pytest

from tests.issuer_server import World
from tests.pki import Authority
from tests.proofs import Holder
from tests.tokens import confirmation
from ztproxy.config.loading import ConfigError, parse
from ztproxy.identity import describe
from ztproxy.model import Identified, Reason

ROOT = Authority.new("Clients' Root")


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path) as world:
        world.clock.wall = float(int(time.time()))
        world.issuer_server = await world.issuer()
        world.holder = Holder(now=lambda: world.clock.wall)
        world.mine, world.theirs = (describe((ROOT.issue(name).der, ROOT.der)) for name in ("mine", "theirs"))
        yield world


async def identity_of(world, route="none", issuer="none", **options):
    certificate, key = ROOT.server().write(world.folder, "server")
    listener = {
        "address": "127.0.0.1:8080",
        "certificates": [{"certificate": certificate, "key": key}],
        "client_certificates": {"authorities": [ROOT.write(world.folder)], "mode": "optional"},
    }
    trust = world.trust(world.issuer_server, binding=issuer)
    routes = [world.route(binding=route), world.route("open")]
    return await world.build(world.settings([trust], listeners=[listener], routes=routes, dpop={}, **options))


def bound(world, *bindings):
    of = {"certificate": confirmation(world.mine.der), "key": world.holder.confirmation}
    cnf = {name: value for binding in bindings for name, value in of[binding].items()}
    return world.issuer_server.tokens.token(**({"cnf": cnf} if cnf else {}))


async def present(world, identity, token, *, proven=False, certificate=None, proof=None, **request):
    proofs = (proof or world.holder.proof(token),) if proven else ()
    scheme = b"DPoP " if proven else b"Bearer "
    return await world.ask(identity, scheme + token, certificate=certificate, unverified_proofs=proofs, **request)


def word(outcome):
    return "in" if isinstance(outcome, Identified) else outcome.reason.word


async def outcomes(world, identity):
    """Of tokens with each binding, presented with all that they are bound to."""
    found = []
    for bindings in ((), ("certificate",), ("key",), ("certificate", "key")):
        token = bound(world, *bindings)
        outcome = await present(world, identity, token, proven="key" in bindings, certificate=world.mine)
        found.append(word(outcome))
    return found


REQUIRED = "token-binding-required"
TABLE = {
    "none": ["in", "in", "in", "in"],
    "any": [REQUIRED, "in", "in", "in"],
    "certificate": [REQUIRED, "in", REQUIRED, "in"],
    "dpop": [REQUIRED, REQUIRED, "in", "in"],
    "both": [REQUIRED, REQUIRED, REQUIRED, "in"],
}


@pytest.mark.parametrize("binding", TABLE)
async def test_a_route_demands(world, binding):
    assert await outcomes(world, await identity_of(world, route=binding)) == TABLE[binding]


@pytest.mark.parametrize("binding", TABLE)
async def test_an_issuer_demands(world, binding):
    assert await outcomes(world, await identity_of(world, issuer=binding)) == TABLE[binding]


@pytest.mark.parametrize(
    ("route", "issuer", "together"),
    [
        ("certificate", "dpop", "both"),
        ("any", "dpop", "dpop"),
        ("certificate", "any", "certificate"),
        ("any", "none", "any"),
    ],
)
async def test_both_demand_together(world, route, issuer, together):
    assert await outcomes(world, await identity_of(world, route=route, issuer=issuer)) == TABLE[together]
    assert await outcomes(world, await identity_of(world, route=issuer, issuer=route)) == TABLE[together]


async def test_two_bindings_need_both(world):
    identity = await identity_of(world)
    token = bound(world, "certificate", "key")
    assert word(await present(world, identity, token, proven=True, certificate=world.mine)) == "in"
    for proven, certificate in ((True, None), (True, world.theirs), (False, world.mine), (False, None)):
        outcome = await present(world, identity, token, proven=proven, certificate=certificate)
        assert outcome.reason is Reason.TOKEN_BINDING_MISMATCH


async def test_what_was_let_in_once_counts_nowhere_without_what_it_is_bound_to(world):
    """The token is remembered by its hash: the verdict about it is not one about who presents it."""
    identity = await identity_of(world)
    by_key, by_certificate = bound(world, "key"), bound(world, "certificate")
    assert word(await present(world, identity, by_key, proven=True)) == "in"
    assert word(await present(world, identity, by_certificate, certificate=world.mine)) == "in"
    for route in ("r", "open"):
        outcome = await present(world, identity, by_key, route=route)
        assert outcome.reason is Reason.TOKEN_BINDING_MISMATCH
        for certificate in (world.theirs, None):
            outcome = await present(world, identity, by_certificate, certificate=certificate, route=route)
            assert outcome.reason is Reason.TOKEN_BINDING_MISMATCH


@pytest.mark.parametrize(
    ("binding", "schemes"),
    [
        ("none", [b"DPoP", b"Bearer"]),
        ("any", [b"DPoP", b"Bearer"]),
        ("certificate", [b"DPoP", b"Bearer"]),
        ("dpop", [b"DPoP"]),
        ("both", [b"DPoP"]),
    ],
)
async def test_the_challenge_names_the_schemes_that_could_do(world, binding, schemes):
    identity = await identity_of(world, route=binding)
    outcome = await world.ask(identity)
    challenges = [value for name, value in outcome.fields if name == b"www-authenticate"]
    assert [challenge.split(b" ")[0] for challenge in challenges] == schemes
    assert not any(b"error" in challenge for challenge in challenges)


async def test_an_unbound_token_is_told_what_is_wanted(world):
    outcome = await present(world, await identity_of(world, route="dpop"), bound(world))
    assert outcome.reason is Reason.TOKEN_BINDING_REQUIRED
    assert outcome.detail == "The token has to be bound to a key that each request proves (DPoP)."
    assert outcome.status == 401
    assert b'error="invalid_token"' in dict(outcome.fields)[b"www-authenticate"]


CONFIGURATION = """\
version: 1
listeners: [{address: "127.0.0.1:8080", protocol: http}]
issuers: [{issuer: "https://login.test", audiences: [a]}]
policy: {path: .}
routes:
  - name: all
    hosts: ["*"]
    require: []
    binding: none
    upstream: {servers: ["http://127.0.0.1:9000"]}
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("binding: none", "binding: dpop", "9:5: no token can be bound by DPoP without a section `dpop`"),
        ("binding: none", "binding: both", "9:5: no token can be bound by DPoP without a section `dpop`"),
        ("binding: none", "binding: certificate", "9:5: tokens have to be bound to a client certificate, but no"),
        ("binding: none", "binding: any", "9:5: tokens have to be bound, but there is no section `dpop`"),
        ("audiences: [a]", "audiences: [a], binding: dpop", "no token can be bound by DPoP"),
        ("binding: none", "binding: any\n    issuers: []", "nobody's tokens count here, so none can be bound"),
        ("binding: none", "binding: certifcate", "input should be 'none', 'any', 'certificate', 'dpop' or 'both'"),
        (
            "policy:",
            "dpop: {}\nworkers: 2\npolicy:",
            "4:1: 2 workers would each let a proof in once: say `replay: mach",
        ),
        ("policy:", "dpop: {replay: 'memory://'}\nworkers: 2\npolicy:", "4:8: 2 workers would each let a proof in"),
        ("policy:", "dpop: {replay: 'disk:/x'}\npolicy:", "4:8: `dpop.replay`"),
        ("policy:", "dpop: {replay: 'redis://10.0.0.1'}\npolicy:", "4:8: plain redis:// on loopback only"),
        (
            "policy:",
            "dpop: {replay: 'redis://:x@127.0.0.1'}\npolicy:",
            "a password does not stand in the configuration",
        ),
        ("policy:", "dpop: {replay: 'redis://127.0.0.1:x'}\npolicy:", "4:8: cannot be read"),
        ("policy:", "dpop: {replay: 'rediss:///0'}\npolicy:", "4:8: names no host"),
        ("policy:", "dpop: {password: {env: HOME}}\npolicy:", "memory:// takes no password"),
        ("policy:", "dpop: {replay: 'redis://127.0.0.1', password: {env: NOT_THERE}}\npolicy:", "no NOT_THERE"),
        ("policy:", "dpop: {nonce: required, secret: {env: NOT_THERE}}\npolicy:", "no NOT_THERE"),
        (
            "policy:",
            "dpop: {replay: 'redis://127.0.0.1', nonce: required}\npolicy:",
            "4:37: machines that share a redis",
        ),
        ("policy:", "dpop: {secret: {env: HOME}}\npolicy:", "are for nonces: say `nonce: required` too"),
        ("policy:", "dpop: {maximum_age: 2h}\npolicy:", "are at most 1h"),
        ("policy:", "dpop: {algorithms: [HS256]}\npolicy:", "`dpop.algorithms.0`"),
        ("policy:", "dpop: {algorithms: []}\npolicy:", "`dpop.algorithms`"),
    ],
)
def test_a_configuration_that_cannot_be_met_is_refused(tmp_path, old, new, expected):
    parse(CONFIGURATION, tmp_path / "z.yaml")
    with pytest.raises(ConfigError) as caught:
        parse(CONFIGURATION.replace(old, new), tmp_path / "z.yaml")
    assert any(expected in str(problem) for problem in caught.value.problems), caught.value


async def test_a_short_secret_stops_the_start(world, monkeypatch):
    monkeypatch.setenv("NONCES", "short")
    dpop = {"nonce": "required", "secret": {"env": "NONCES"}}
    with pytest.raises(Exception, match="16 octets"):
        await world.build(world.settings([world.trust(world.issuer_server)], dpop=dpop))
