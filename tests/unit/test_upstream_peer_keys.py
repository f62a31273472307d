"""Other nodes' key sets, published beside our own: public ES256 keys under their thumbprints, or the start stops."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.tokens import public_jwk
from ztproxy.config.assertions import Assertion
from ztproxy.upstream import UnusableFileError
from ztproxy.upstream.key_ring import load_ring
from ztproxy.upstream.peer_keys import read_key_set
from ztproxy.upstream.public_key import public_key


def peer():
    return public_key(ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers())


def written(folder, content):
    path = folder / "peer.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def test_they_are_published_beside_ours(tmp_path):
    one, two = peer(), peer()
    path = written(tmp_path, {"keys": [one, {**two, "use": "enc", "x5u": "https://evil.test"}]})
    told = Assertion(key=tmp_path / "a.key", issuer="https://g.test", published=(path,))
    keys = json.loads(load_ring(told, 0.0).jwks)["keys"]
    assert keys[1:] == [one, two]  # written anew: nothing else of what stood there
    assert keys[0]["kid"] == load_ring(told, 0.0).signing(0.0).kid


def test_an_empty_set_is_none(tmp_path):
    assert read_key_set(written(tmp_path, {"keys": []})) == {}


PEER = peer()
PRIVATE = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "no JSON Web Key Set"),
        (b"[" * 100_000, "no JSON Web Key Set"),
        (b'{"keys": 1}', "no JSON Web Key Set"),
        (b"[]", "no JSON Web Key Set"),
        (b" " * 65536 + json.dumps({"keys": [PEER]}).encode(), "no JSON Web Key Set"),
        ({"keys": [PEER] * 65}, "at most 64"),
        ({"keys": [7]}, "something else than public ES256"),
        ({"keys": [{**PEER, "d": "AAAA"}]}, "a private key is nobody's to publish"),
        ({"keys": [{**PEER, "crv": "P-384"}]}, "something else than public ES256"),
        ({"keys": [{"kty": "oct", "k": "AAAA", "kid": PEER["kid"]}]}, "something else than public ES256"),
        ({"keys": [public_jwk(ec.generate_private_key(ec.SECP384R1()), kid="x")]}, "something else"),
        ({"keys": [{**PEER, "x": PEER["y"]}]}, "no point of P-256"),
        ({"keys": [{**PEER, "x": None}]}, "no point of P-256"),
        ({"keys": [{**PEER, "x": PEER["x"] + "="}]}, "no point of P-256"),
        ({"keys": [{**PEER, "kid": peer()["kid"]}]}, "not its thumbprint"),
        ({"keys": [public_jwk(PRIVATE)]}, "not its thumbprint"),
    ],
)
def test_anything_else_stops_the_start(tmp_path, content, expected):
    with pytest.raises(UnusableFileError, match=expected):
        read_key_set(written(tmp_path, content))


def test_a_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(UnusableFileError, match=r"peer\.json: the key set cannot be read"):
        read_key_set(tmp_path / "peer.json")
