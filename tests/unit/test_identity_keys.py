import json

import pytest

from tests.tokens import ABSENT, base64url, private_key, public_jwk, signer
from ztproxy.identity.issuers.keys import KeySet, read_key_set
from ztproxy.identity.strict_json import MalformedError


def read(*jwks):
    return read_key_set(json.dumps({"keys": jwks}).encode())


def jwk(algorithm="ES256", **members):
    return public_jwk(private_key(algorithm), **({"kid": "k"} | members))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_a_key_verifies_its_own_algorithm_and_no_other(algorithm):
    key = read(jwk(algorithm)).find("k", algorithm)
    signature = signer(algorithm, private_key(algorithm))(b"data")
    assert key.verifies(algorithm, b"data", signature)
    assert not key.verifies(algorithm, b"other", signature)
    for other in {"RS256", "ES256", "ES384", "ES512", "EdDSA", "HS256", "none", ""} - {algorithm}:
        assert not key.verifies(other, b"data", signature)


@pytest.mark.parametrize(
    "members",
    [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "FUTURE"},
        {"kty": ["EC"]},
        {"kty": None},
        {"kid": 1},
        {"kid": ["k"]},
        {"crv": "secp256k1"},
        {"crv": "P-384"},
        {"crv": 256},
        {"x": "AAAA"},
        {"x": ABSENT},
        {"x": "!"},
        {"x": "é"},
        {"y": 5},
        {"d": "AQAB"},
    ],
)
def test_what_is_no_usable_key_is_left_out_and_spares_the_others(members):
    broken = {name: value for name, value in (jwk() | members).items() if value is not ABSENT}
    keys = read(jwk(kid="good"), broken, "no key", 1, None)
    assert [key.key_id for key in keys.keys] == ["good"]


@pytest.mark.parametrize("exponent", [1, 3, 17, 65536, 65538, 2**32 + 1, 2**64 + 1])
def test_odd_exponents_are_left_out(exponent):
    encoded = base64url(exponent.to_bytes((exponent.bit_length() + 7) // 8, "big")).decode()
    assert read(jwk("RS256") | {"e": encoded}) == KeySet()


@pytest.mark.parametrize("bits", [1024, 2047, 8200])
def test_a_modulus_of_the_wrong_size_or_even_is_left_out(bits):
    modulus = (1 << (bits - 1)) | 1
    assert read(jwk("RS256") | {"n": base64url(modulus.to_bytes((bits + 7) // 8, "big")).decode()}) == KeySet()
    even = (1 << 2047) | 2
    assert read(jwk("RS256") | {"n": base64url(even.to_bytes(256, "big")).decode()}) == KeySet()


def test_a_point_that_is_not_on_the_curve_is_left_out():
    assert read(jwk() | {"y": base64url(bytes(31) + b"\x01").decode()}) == KeySet()


def test_the_same_key_keeps_its_identity_and_another_use_changes_it():
    plain, again, other = read(jwk()), read(jwk()), read(jwk(alg="ES256"))
    assert plain.identities == again.identities
    assert plain.identities.isdisjoint(other.identities)
    assert plain.identities.isdisjoint(read(jwk(kid="k2")).identities)


def test_what_is_kept_can_be_read_again():
    keys = read(jwk(alg="ES256", use="sig", x5c=["AAAA"]), jwk("RS256", kid="r"))
    again = read(*(dict(key.jwk) for key in keys.keys))
    assert again.identities == keys.identities


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": [' + b"{}," * 100 + b"{}]}"])
def test_what_is_no_key_set(document):
    with pytest.raises(MalformedError):
        read_key_set(document)
