"""The signed statement of who asks: its claims, how long it counts, and the key it is signed with."""

import base64
import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from msgspec.structs import replace

from tests.pki import Authority
from tests.raw_server import authorized, certificate, token
from ztproxy.upstream import UnusableFileError
from ztproxy.upstream.assertion import Assertions, Telling
from ztproxy.upstream.key_ring import KeyRing
from ztproxy.upstream.signing_key import load_or_create

ALICE = certificate(Authority.new("Clients").issue("alice"), not_after=1_800_000_000.0)
NOW = 1_700_000_000.0


@pytest.fixture
def key(tmp_path):
    return load_or_create(tmp_path / "assertion.key")


@pytest.fixture
def assertions(key):
    return Assertions(KeyRing([(0.0, key)], b""), "https://gateway.test", 60.0, {"app": Telling("app")})


def told(assertions, certificate, token, now):
    asked = authorized(certificate=certificate, token=token)
    return assertions.of(replace(asked, arrived=replace(asked.arrived, wall=now)))


def claims_of(made) -> dict:
    assert made is not None
    return jwt.decode(made[0], options={"verify_signature": False})


def test_a_token_and_a_certificate(assertions, key):
    made = told(assertions, ALICE, token(), NOW)
    claims = claims_of(made)
    fingerprint = base64.urlsafe_b64encode(hashlib.sha256(ALICE.der).digest()).rstrip(b"=").decode()
    assert claims == {
        "iss": "https://gateway.test",
        "aud": "app",
        "sub": "alice",
        "token_issuer": "https://idp.test",
        "cnf": {"x5t#S256": fingerprint},
        "iat": NOW,
        "exp": NOW + 60,
    }
    assert jwt.get_unverified_header(made[0]) == {"alg": "ES256", "kid": key.kid, "typ": "JWT"}


def test_a_certificate_alone_is_named_by_its_spiffe_id_else_its_subject(assertions):
    claims = claims_of(told(assertions, ALICE, None, NOW))
    assert (claims["sub"], "token_issuer" in claims) == ("CN=alice", False)
    spiffe = certificate(Authority.new().issue("bob"), spiffe_id="spiffe://corp/bob", not_after=NOW + 3600)
    assert claims_of(told(assertions, spiffe, None, NOW))["sub"] == "spiffe://corp/bob"


def test_nobody_known_is_not_asserted(assertions):
    assert told(assertions, None, None, NOW) is None


def test_one_is_remade_well_before_it_ends(assertions):
    first = told(assertions, ALICE, None, NOW)
    assert told(assertions, ALICE, None, NOW + 29) == first
    later = told(assertions, ALICE, None, NOW + 31)
    assert later != first
    assert claims_of(later)["exp"] == NOW + 91


def test_a_clock_set_back_remakes_it(assertions):
    first = told(assertions, ALICE, None, NOW)
    assert told(assertions, ALICE, None, NOW - 100) != first


def test_it_counts_no_longer_than_what_it_rests_on(assertions):
    soon = token(expires_at=NOW + 20)
    assert claims_of(told(assertions, ALICE, soon, NOW))["exp"] == NOW + 20
    ending = certificate(Authority.new().issue("bob"), not_after=NOW + 10)
    assert claims_of(told(assertions, ending, None, NOW))["exp"] == NOW + 10


def test_a_token_within_its_leeway_still_gets_one_that_counts(assertions):
    assert claims_of(told(assertions, None, token(expires_at=NOW - 10), NOW))["exp"] == NOW + 5


def test_what_is_remembered_is_bounded(assertions, monkeypatch):
    monkeypatch.setattr("ztproxy.upstream.assertion._REMEMBERED", 4)
    for number in range(10):
        told(assertions, None, token(f"user-{number}"), NOW)
    assert len(assertions._made) == 4


def test_the_key_is_made_once_readable_by_nobody_else(tmp_path):
    path = tmp_path / "var" / "keys" / "assertion.key"
    first = load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert load_or_create(path).public == first.public
    assert [entry.name for entry in path.parent.iterdir()] == ["assertion.key"]


def test_workers_that_start_together_agree_on_one_key(tmp_path):
    with ThreadPoolExecutor(8) as workers:
        keys = list(workers.map(lambda _: load_or_create(tmp_path / "assertion.key").kid, range(8)))
    assert len(set(keys)) == 1


def test_the_published_keys_hold_no_private_part(key):
    published = key.public
    assert set(published) == {"kty", "crv", "x", "y", "use", "alg", "kid"}
    assert (published["kty"], published["crv"], published["alg"]) == ("EC", "P-256", "ES256")


def test_the_identifier_is_the_thumbprint(tmp_path):
    numbers = ec.EllipticCurvePrivateNumbers(
        int.from_bytes(base64.urlsafe_b64decode("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI=")),
        ec.EllipticCurvePublicNumbers(
            int.from_bytes(base64.urlsafe_b64decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU=")),
            int.from_bytes(base64.urlsafe_b64decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0=")),
            ec.SECP256R1(),
        ),
    )  # RFC 7515, A.3
    path = write_key(tmp_path, numbers.private_key())
    expected = hashlib.sha256(
        b'{"crv":"P-256","kty":"EC","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",'
        b'"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}'
    ).digest()
    assert load_or_create(path).kid == base64.urlsafe_b64encode(expected).rstrip(b"=").decode()


def write_key(folder, key, mode=0o600, encryption=None):
    path = folder / "assertion.key"
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption or serialization.NoEncryption()
    )
    path.write_bytes(pem)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256K1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["rsa", "P-384", "secp256k1", "ed25519"],
)
def test_another_kind_of_key_stops_the_start(tmp_path, key):
    path = write_key(tmp_path, key)
    with pytest.raises(UnusableFileError, match=f"{path}: assertions are signed with ES256"):
        load_or_create(path)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o620, 0o602])
def test_a_key_open_to_others_stops_the_start(tmp_path, mode):
    path = write_key(tmp_path, ec.generate_private_key(ec.SECP256R1()), mode)
    with pytest.raises(UnusableFileError, match="open to others"):
        load_or_create(path)


def test_an_encrypted_key_stops_the_start(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    path = write_key(tmp_path, key, encryption=serialization.BestAvailableEncryption(b"x"))
    with pytest.raises(UnusableFileError, match=str(path)):
        load_or_create(path)


def test_what_is_no_key_stops_the_start(tmp_path):
    path = tmp_path / "assertion.key"
    path.touch(mode=0o600)
    with pytest.raises(UnusableFileError, match="no unencrypted PEM private key"):
        load_or_create(path)


def test_a_directory_that_cannot_be_made_stops_the_start(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UnusableFileError, match="cannot be made or read"):
        load_or_create(tmp_path / "file" / "assertion.key")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
