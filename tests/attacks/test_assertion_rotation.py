"""While keys rotate over a fleet, no assertion ever fails to verify, and an old key ends.

Time is simulated. The upstream knows nothing but Cache-Control: it asks a node, whichever answers, once its copy of
the key set is too old, not for a key that it does not know. Nodes reload as late as they may, some are restarted, and
their clocks differ.
"""

import json
import random

import jwt
import pytest
from msgspec.structs import replace

from tests.raw_server import authorized, token
from ztproxy.config.settings import Assertion
from ztproxy.upstream.assertion import Assertions, Telling
from ztproxy.upstream.key_ring import load_ring
from ztproxy.upstream.rotating import rotate

NOW = 1_700_000_000.0
CACHE, LIFETIME, SKEW = 300, 60, 15


class Node:
    """Signs by what it last read, and publishes that."""

    def __init__(self, told, skew):
        self.told = told
        self.skew = skew
        self.reload(NOW)

    def reload(self, now):
        self.ring = load_ring(self.told, now + self.skew)
        self.assertions = Assertions(self.ring, self.told.issuer, self.told.lifetime, {"app": Telling("app")})

    def sign(self, now, subject):
        asked = authorized(token=token(subject, expires_at=NOW * 2))
        made = self.assertions.of(replace(asked, arrived=replace(asked.arrived, wall=now + self.skew)))
        return made[0]


class Upstream:
    """Verifies with a key set that it keeps for as long as it may."""

    def __init__(self, nodes, chance, restarts):
        self.nodes, self.chance, self.restarts = nodes, chance, restarts
        self.asked = float("-inf")

    def verify(self, assertion, now):
        if now >= self.asked + CACHE or self.chance.random() < self.restarts:
            self.asked = now
            self.keys = json.loads(self.chance.choice(self.nodes).ring.jwks)
        kid = jwt.get_unverified_header(assertion)["kid"]
        (key,) = [key for key in self.keys["keys"] if key["kid"] == kid]
        options = {"verify_exp": False, "verify_iat": False}
        jwt.decode(assertion, jwt.PyJWK(key), ["ES256"], options, audience="app", issuer="https://g.test")
        return kid


def rotations(tmp_path, seed, restarts=0.05):
    """The keys that signed, in their order; raises where one did not verify."""
    chance = random.Random(seed)
    told = Assertion(keys=tmp_path / "ring", issuer="https://g.test", lifetime=float(LIFETIME), key_cache=float(CACHE))
    nodes = [Node(told, skew) for skew in (0, SKEW, -SKEW)]
    upstreams = [Upstream(nodes, chance, restarts) for _ in range(3)]
    signed, under_way, reloads, next_rotation = [], [], [], NOW + chance.randrange(60)
    for now in range(int(NOW), int(NOW) + 4000, 5):
        if now >= next_rotation:
            made = rotate(told, now)
            window = max(1, int(made.reload_before - now))
            reloads = [(now + chance.choice([1, window // 2, window - 1]), node) for node in nodes]
            next_rotation = made.signs_from + chance.randrange(1, 120)
        for at, node in [due for due in reloads if due[0] <= now]:
            node.reload(now)
            reloads.remove((at, node))
        if chance.random() < restarts:
            chance.choice(nodes).reload(now)
        assertion = chance.choice(nodes).sign(now, f"user-{chance.randrange(3)}")
        under_way.append((now, assertion))
        under_way = [one for one in under_way if now < one[0] + LIFETIME]
        for one in (under_way[0][1], assertion):  # the oldest that still counts, and the newest
            kid = chance.choice(upstreams).verify(one, now)
        if kid not in signed:
            signed.append(kid)
    return signed


def hold(tmp_path, seed):
    try:
        rotations(tmp_path, seed, restarts=0.0)
    except ValueError:  # the key is not among those that the upstream has
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_every_assertion_verifies_through_all_rotations(tmp_path, seed):
    assert len(rotations(tmp_path, seed)) >= 4


@pytest.mark.slow
def test_a_key_that_signs_before_upstreams_have_it_would_not(tmp_path, monkeypatch):
    """The same, with the wait taken out: the simulation does notice."""
    monkeypatch.setattr("ztproxy.upstream.rotating.AHEAD", 1)
    assert not all(hold(tmp_path / str(seed), seed) for seed in range(6))
