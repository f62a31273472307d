"""The input document: complete, as its schema says, and without credentials."""

import json

import jsonschema
import msgspec
import pytest

from ztproxy.model import Reason, Refusal, Sans
from ztproxy.policy import kept as module
from ztproxy.policy import reference
from ztproxy.policy.document import Documents
from ztproxy.policy.headers import is_credential
from ztproxy.policy.kept import MAXIMUM_KEPT
from ztproxy.policy.query import decode_query
from ztproxy.policy.schema import InputDocument, complete, json_schema, misfit

replace = msgspec.structs.replace


def written(admitted, documents=None):
    document = (documents or Documents()).write(admitted)
    assert not isinstance(document, Refusal), document
    return json.loads(document)


def asked(**changes):
    example = reference.example()
    return replace(example, arrived=replace(example.arrived, **changes))


def check(document):
    jsonschema.Draft202012Validator(json_schema()).validate(document)
    assert misfit(document) is None


def test_the_example_is_as_the_schema_says():
    check(json.loads(reference.example_document()))


def test_schema_and_page_are_what_the_program_makes():
    assert reference.SCHEMA.read_text("utf-8") == reference.schema_text(), "run python -m ztproxy.policy.reference"
    assert reference.PAGE.read_text("utf-8") == reference.page(), "run python -m ztproxy.policy.reference"


def test_every_field_is_present_and_null_where_there_is_none():
    example = reference.example()
    connection = replace(example.arrived.connection, tls=None, peer="", peer_port=0, scheme="http")
    bare = replace(
        example,
        arrived=replace(example.arrived, connection=connection, source="", query="", fields=(), segments=()),
        certificate=None,
        token=None,
    )
    document = written(bare)
    check(document)
    assert document["source"] == {"address": None, "port": None, "peer": None}
    assert document["tls"] is document["certificate"] is document["token"] is None
    assert document["request"]["query"] == document["request"]["headers"] == {}
    assert list(document) == list(InputDocument.__struct_fields__)


@pytest.mark.parametrize(
    "place", [("extra",), ("request", "extra"), ("token", "extra"), ("certificate", "sans", "extra")]
)
def test_the_schema_is_strict(place):
    document = json.loads(reference.example_document())
    part = document
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = 1
    assert list(jsonschema.Draft202012Validator(json_schema()).iter_errors(document))
    assert "extra" in misfit(document)


def test_the_clients_port_is_unknown_behind_a_trusted_proxy():
    assert written(asked(source="198.51.100.9"))["source"] == {
        "address": "198.51.100.9",
        "port": None,
        "peer": "192.0.2.44",
    }


def test_times_are_rfc_3339_in_utc():
    example = reference.example()
    token = replace(example.token, issued_at=None, expires_at=1788253200.5)
    part = written(replace(example, token=token))["token"]
    assert part["issued_at"] is None
    assert part["expires_at"] == "2026-09-01T09:00:00.500000Z"


def test_headers_are_lists_by_lower_case_name():
    fields = ((b"X-Tag", b"a"), (b"accept", b"*/*"), (b"x-tag", b"b"), (b"x-name", "é".encode("latin-1")))
    headers = written(asked(fields=fields))["request"]["headers"]
    assert headers == {"x-tag": ["a", "b"], "accept": ["*/*"], "x-name": ["é"]}


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "proxy-authorization",
        "cookie",
        "cookie2",
        "set-cookie",
        "x-api-key",
        "api-key",
        "apikey",
        "x-apikey",
        "x-auth-token",
        "x-amz-security-token",
        "private-token",
        "x-vault-token",
        "x-csrf-token",
        "x-goog-iap-jwt-assertion",
        "x-client-secret",
        "x-password",
        "x-session-id",
        "ocp-apim-subscription-key",
        "x-functions-key",
        "dpop",
        "x-forwarded-access-token",
        "sec-websocket-protocol",
        "x-goog-api-key",
        "authentication",
        "x-auth",
        "x-aws-access-key",
    ],
)
def test_credentials_never_enter(name):
    assert is_credential(name)
    document = Documents().write(asked(fields=((name.encode(), b"hush"), (name.title().encode(), b"hush"))))
    assert b"hush" not in document


@pytest.mark.parametrize("name", ["accept", "user-agent", "if-match", "idempotency-key", "x-author", "x-tokenizer"])
def test_other_fields_do(name):
    assert written(asked(fields=((name.encode(), b"1"),)))["request"]["headers"] == {name: ["1"]}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("a=1&b=2&a=3", {"a": ["1", "3"], "b": ["2"]}),
        ("a&b=&=c&&", {"a": [""], "b": [""], "": ["c"]}),
        ("a+b=c+d%2Be", {"a b": ["c d+e"]}),
        ("%C3%BC=%e2%82%ac", {"ü": ["€"]}),
        ("a=1;b=2", {"a": ["1;b=2"]}),
        ("a=b=c", {"a": ["b=c"]}),
        ("a=%00", {"a": ["\0"]}),
        ("A=1&a=2", {"A": ["1"], "a": ["2"]}),
    ],
)
def test_the_query_is_decoded_as_a_form(query, expected):
    assert decode_query(query) == expected


@pytest.mark.parametrize("query", ["a=%", "a=%2", "a=%zz", "a=%ff", "a=%C0%AF", "a=%ED%A0%80", "%+1=1"])
def test_a_query_with_two_readings_is_refused(query):
    refusal = decode_query(query)
    assert refusal.reason is Reason.REQUEST_AMBIGUOUS
    assert Documents().write(asked(query=query)).reason is Reason.REQUEST_AMBIGUOUS


def test_parameters_are_bounded_not_cut_off():
    assert len(decode_query("&".join(f"p{i}=" for i in range(1000)))) == 1000
    assert decode_query("&" * 1000).reason is Reason.REQUEST_TOO_LARGE


@pytest.mark.parametrize(
    "claims",
    [{"x": float("nan")}, {"x": float("inf")}, {"x": "\ud800"}, {"\udfff": 1}, {"x": object()}],
    ids=["nan", "infinity", "surrogate", "surrogate name", "object"],
)
def test_claims_that_json_cannot_say_are_refused(claims):
    example = reference.example()
    refusal = Documents().write(replace(example, token=replace(example.token, claims=claims)))
    assert refusal.reason is Reason.TOKEN_MALFORMED


def test_claims_nested_too_deep_are_refused():
    claims = {}
    for _ in range(100_000):
        claims = {"a": claims}
    example = reference.example()
    refusal = Documents().write(replace(example, token=replace(example.token, claims=claims)))
    assert refusal.reason is Reason.TOKEN_MALFORMED


def test_a_time_beyond_the_calendar_is_refused():
    example = reference.example()
    refusal = Documents().write(replace(example, token=replace(example.token, expires_at=1e18)))
    assert refusal.reason is Reason.TOKEN_MALFORMED


def test_large_integers_stay_exact():
    example = reference.example()
    document = Documents().write(replace(example, token=replace(example.token, claims={"n": 2**70})))
    assert json.loads(document)["token"]["claims"] == {"n": 2**70}


class TestKeptParts:
    def test_each_request_has_its_own_certificate_and_token(self):
        documents, example = Documents(), reference.example()
        other = replace(
            example,
            certificate=replace(example.certificate, fingerprint="0" * 64, subject="CN=bob"),
            token=replace(example.token, digest=b"1" * 32, subject="bob"),
        )
        for _ in range(2):
            assert written(example, documents)["token"]["subject"] == "alice"
            assert written(other, documents)["token"]["subject"] == "bob"
            assert written(example, documents)["certificate"]["subject"] == "CN=alice-laptop,O=Corp"
            assert written(other, documents)["certificate"]["subject"] == "CN=bob"
            assert written(replace(example, certificate=None, token=None), documents)["token"] is None

    def test_a_certificate_whose_revocation_was_looked_at_is_written_anew(self):
        documents, example = Documents(), reference.example()
        written(example, documents)
        unchecked = replace(example, certificate=replace(example.certificate, revocation="unchecked"))
        assert written(unchecked, documents)["certificate"]["revocation"] == "unchecked"

    def test_another_token_under_the_same_digest_is_written_anew(self):
        documents, example = Documents(), reference.example()
        written(example, documents)
        assert written(replace(example, token=replace(example.token, claims={"n": 1})), documents)["token"][
            "claims"
        ] == {"n": 1}

    def test_another_handshake_is_written_anew(self):
        documents, example = Documents(), reference.example()
        written(example, documents)
        tls = replace(example.arrived.connection.tls, server_name=None)
        other = asked(connection=replace(example.arrived.connection, tls=tls))
        assert written(other, documents)["tls"]["server_name"] is None

    def test_what_is_kept_is_bounded(self, monkeypatch):
        monkeypatch.setattr(module, "MAXIMUM_KEPT", 8)
        documents, example = Documents(), reference.example()
        for number in range(50):
            fields = ((f"x-{number}".encode(), b""),)
            tls = replace(example.arrived.connection.tls, server_name=f"n{number}")
            connection = replace(example.arrived.connection, tls=tls)
            documents.write(
                replace(
                    example,
                    arrived=replace(example.arrived, fields=fields, connection=connection),
                    certificate=replace(example.certificate, fingerprint=f"{number:064x}", sans=Sans()),
                    token=replace(example.token, digest=str(number).encode()),
                )
            )
        shared = documents._shared
        kept = (documents._headers._names, shared._tls, shared._certificates, shared._tokens)
        assert [len(one) for one in kept] == [8] * 4
        assert MAXIMUM_KEPT >= 256


def test_input_written_by_hand_is_completed_and_says_so():
    whole, missing = complete({"request": {"method": "GET"}, "certificate": {"sans": {"dns": []}}, "token": None})
    assert "input.request.path" in missing
    assert "input.source" in missing
    assert "input.certificate.sans.uri" in missing
    assert "input.token" not in missing
    assert whole["request"]["path"] is None
    assert whole["request"]["method"] == "GET"
    assert whole["certificate"]["sans"] == {"dns": [], "uri": None, "email": None, "ip": None}


def test_a_misfit_is_named_with_its_place():
    assert "input.request.method" in misfit(
        json.loads(reference.example_document()) | {"request": {"id": "1", "method": 1}}
    )


def test_credentials_in_the_query_never_enter():
    assert decode_query("access_token=s3cret&a=1&Access%5FToken=s3cret&id_token=x") == {"a": ["1"]}
