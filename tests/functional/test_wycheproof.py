"""Wycheproof's JOSE vectors as a judge of how tokens and keys are read: nothing invalid is accepted.

Each signature is judged by the parts that judge a bearer token: `take_apart`, `read_key_set`, `KeySet.find` and
`Key.verifies`. The vectors' payloads are no claims, so claims stand in their place while the header and the signature
are read; what is verified in the end are the octets as received.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tokens import base64url
from ztproxy.identity.issuers.keys import read_key_set
from ztproxy.identity.strict_json import MalformedError, decode_base64url
from ztproxy.identity.tokens.unverified import take_apart
from ztproxy.model import Refusal

VECTORS = Path(__file__).parent / "wycheproof" / "vectors"
pytestmark = pytest.mark.skipif(not VECTORS.exists(), reason="needs sh tests/functional/wycheproof/fetch.sh")

CLAIMS = base64url(b'{"iss":"https://login.test"}')
SYMMETRIC = "A symmetric key: whoever verifies with it could sign with it, so none ever counts."
NOT_BASE64URL = "A character that base64url does not have: the vectors let a reader skip it, RFC 7515 §2 does not."
ANOTHER_ALGORITHM = (
    "The key says `PS256`, the signature `PS384`: a key is for the algorithm that it names (RFC 7517 §4.4)."
)
NO_ALGORITHM = "The key says `ES521`, which no registry has; the signature is by `ES512`."
REFUSED: dict[str, dict[int, str]] = {
    "json_web_signature_test.json": {
        **dict.fromkeys((1, 348, 352, 357, 358, 359, 376, 377), SYMMETRIC),
        **dict.fromkeys((372, 373), NOT_BASE64URL),
        **dict.fromkeys((346, 350), ANOTHER_ALGORITHM),
        **dict.fromkeys((347, 351), NO_ALGORITHM),
    },
    "json_web_key_test.json": dict.fromkeys((2, 13, 14, 15), SYMMETRIC),
    "json_web_crypto_test.json": dict.fromkeys((1, 48), SYMMETRIC),
}
"""Valid for Wycheproof and refused here: by number in the pinned release, each with its reason."""


def accepts(keys: list[dict[str, Any]], jws: object) -> str | None:
    """Why the signature is not accepted; None when it is."""
    if not isinstance(jws, str):
        return "no compact serialization"
    token = jws.encode()
    parts = token.split(b".")
    if len(parts) != 3:
        return "no compact serialization"
    try:
        decode_base64url(parts[1])
    except MalformedError as wrong:
        return str(wrong)
    unverified = take_apart(b".".join((parts[0], CLAIMS, parts[2])), b"")
    if isinstance(unverified, Refusal):
        return unverified.detail
    known = read_key_set(json.dumps({"keys": keys}).encode())
    key = known.find(unverified.key_id, unverified.algorithm)
    if key is None:
        return "symmetric" if any(one.get("kty") == "oct" for one in keys) else "no key"
    signed = b".".join(parts[:2])
    return None if key.verifies(unverified.algorithm, signed, unverified.signature) else "signature"


def cases(name: str) -> list[tuple[str, list[dict[str, Any]], dict[str, Any]]]:
    """What each group is about, the keys that it publishes, and one of its tests."""
    found = []
    for group in json.loads((VECTORS / name).read_text())["testGroups"]:
        shown = group.get("public") or group["private"]
        keys = shown.get("keys", [shown])
        found += [(group["comment"], keys, test) for test in group["tests"] if "jws" in test]
    return found


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_invalid_is_accepted(name):
    judged = [(test, accepts(keys, test["jws"])) for _, keys, test in cases(name) if test["result"] != "valid"]
    assert len(judged) > 20
    assert [(test["tcId"], test["comment"]) for test, why in judged if why is None] == []


@pytest.mark.parametrize("name", REFUSED)
def test_each_valid_one_that_is_refused_is_explained(name):
    judged = {test["tcId"]: accepts(keys, test["jws"]) for _, keys, test in cases(name) if test["result"] == "valid"}
    assert {number for number, why in judged.items() if why is not None} == REFUSED[name].keys()
    assert None in judged.values()
    symmetric = {number for number, why in REFUSED[name].items() if why is SYMMETRIC}
    assert {judged[number] for number in symmetric} == {"symmetric"}


def test_encrypted_tokens_are_no_bearer_tokens():
    groups = json.loads((VECTORS / "json_web_encryption_test.json").read_text())["testGroups"]
    found = [test["jwe"] for group in groups for test in group["tests"]]
    assert len(found) > 20
    assert all(isinstance(take_apart(token.encode(), b""), Refusal) for token in found if isinstance(token, str))
