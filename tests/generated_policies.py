"""Policies and requests made up by hypothesis, for what has to hold whatever a policy reads and however it reads it."""

import hashlib
import json
from random import Random
from urllib.parse import unquote

import msgspec
from hypothesis import strategies as st

from ztproxy.model import Admitted, Sans, Tls
from ztproxy.policy.reference import example

replace = msgspec.structs.replace

PLACES = (
    "input.request.method",
    "input.request.path",
    "input.request.segments",
    "input.request.segments[0]",
    "input.request.query",
    "input.request.query.q",
    "input.request.query.q[0]",
    "input.request.headers",
    'input.request.headers["x-a"]',
    'input.request.headers["x-a"][0]',
    "input.request.headers.cookie",
    "input.request.id",
    "input.request.scheme",
    "input.request.host",
    "input.request.port",
    "input.request.route",
    "input.request.protocol",
    "input.request.nothing",
    "input.request",
    "input.source.address",
    "input.source.port",
    "input.source.peer",
    "input.source",
    "input.tls",
    "input.tls.server_name",
    "input.tls.version",
    "input.certificate",
    "input.certificate.spiffe_id",
    "input.certificate.sans.uri",
    "input.certificate.revocation",
    "input.token",
    "input.token.subject",
    "input.token.issuer",
    "input.token.expires_at",
    "input.token.claims",
    "input.token.claims.n",
    "input.token.claims.n.n",
    "input.token.claims.list",
    "input.token.claims.list[0]",
    "input.token.claims[input.request.method]",
    "input.nothing",
    "input",
)

# Doubled braces are Rego's; N tells the rules of one policy apart, A, B and C are places.
WAYS = (
    'parts contains ["plain", A]',
    'parts contains ["two", A, B]',
    'parts contains ["else", eN]\neN := A if {{ B == 1 }} else := [B] if {{ C }} else := "last"',
    'parts contains ["else of a function", fN(A)]\nfN(x) := 1 if {{ x == 1 }} else := [x, B]',
    'parts contains ["with", x] if {{ x := wN with input.token.claims.n as A }}\nwN := [input.token.claims.n, B]',
    (
        'parts contains ["with all", x] if {{ x := wN with input as {{"token": {{"claims": A}}}} }}\n'
        "wN := input.token.claims.n"
    ),
    'parts contains ["with data", x] if {{ x := wN with data.names as A }}\nwN := data.names',
    'parts contains ["with a function", x] if {{ x := fN(A) with fN as gN }}\nfN(_) := 1\ngN(x) := [x, B]',
    'parts contains ["function", fN(A, B)]\nfN(x, y) := [x.n, y]',
    'parts contains ["argument", fN(A)]\nfN(1) := "one"\nfN("1") := "text"\nfN(true) := "true"\nfN(null) := "null"',
    'parts contains ["comprehension", {{k: v | some k, v in A}}]',
    'parts contains ["list", [[k, v] | some k; v := A[k]; v != B]]',
    'parts contains ["set", {{v | some v in A; not v == B}}]',
    'parts contains ["object", oN]\noN[k] := v if some k, v in A\noN[k] := B if k := "b"',
    'parts contains ["a name", oN]\noN[k] contains B if k := A',
    'parts contains ["deep", oN.x]\noN.x.y := A\noN.x[k] := B if k := "z"',
    'parts contains ["default", dN]\ndefault dN := "none"\ndN := A if B',
    'parts contains "every" if every v in A {{ v != B }}',
    'parts contains ["some", x] if {{ some x in A; x == B }}',
    'parts contains "not" if not A',
    'parts contains ["not defined", A] if not B == A',
    'parts contains ["data", data.names[A]]',
    'parts contains ["data", x] if {{ some name in data.names; x := [name, A] }}',
    'parts contains ["walk", p, v] if walk(A, [p, v])',
    'parts contains ["get", object.get(A, ["n"], "absent")]',
    'parts contains ["get", object.get(input, ["token", "claims", "n"], A)]',
    'parts contains ["of input", x] if {{ some k in ["tls", "source"]; x := input[k] }}',
    'parts contains ["of request", x] if {{ some k in ["method", A]; x := input.request[k] }}',
    'parts contains ["of claims", x] if {{ some k; x := input.token.claims[k]; x == A }}',
    'parts contains ["equal", A == B]',
    'parts contains ["order", A < B]',
    'parts contains ["is one"] if A == 1',
    'parts contains ["is true"] if A == true',
    'parts contains ["is null"] if A == null',
    'parts contains ["is text"] if A == "1"',
    'parts contains ["type", type_name(A)]',
    'parts contains ["count", count(A)]',
    'parts contains ["text", sprintf("%v %v", [A, B])]',
    'parts contains ["template", $"{{A}}"]',
    'parts contains ["alias", x.n] if x := A',
    'parts contains ["unified", x] if {{ [x, 1] = [A, B] }}',
    'parts contains ["member"] if A in [1, "1", null, B]',
    'parts contains ["clock", time.now_ns(), A]',
    'parts contains ["package", data.helpers.r]',
    'parts contains ["packages", x] if {{ some p; x := data[p].r }}',
    'headers := {{"x-a": "1"}} if A != B',
    'otherN := input.request.id\nparts contains ["nobody asks", A]',
)

_HEAD = """package z

decision := {"allow": count(parts) > 1, "reasons": [json.marshal(part) | some part in parts], "headers": headers}

parts contains "always"

default headers := {}

"""
HELPERS = 'package helpers\n\nr := ["r", input.token.claims.n]\n\nunreached := input\n'
DATA = ({"names": {"1": "one", "a": "first", "GET": True}}, {"names": {"1": "uno", "a": "primo", "GET": 1}})


class Case:
    """A policy that tells in its reasons all that it finds out, and requests to ask it about."""

    def __init__(self, rules: str, asked: list[Admitted]) -> None:
        self.rules = rules
        self.asked = asked

    def __repr__(self) -> str:
        return f"{self.rules}\n{len(self.asked)} requests"


def cases():
    """Cases. Drawn evenly: hypothesis alone would vary what it has already, and has no use for shrinking here."""
    return st.randoms(use_true_random=True).map(_case)


def _case(random: Random) -> Case:
    """Most requests differ from one another in what the policy looks at, and each is there twice."""
    text, used = _HEAD, ""
    for number in range(random.randint(1, 2)):
        places = dict(zip("ABC", random.choices(PLACES, k=3), strict=True))
        filled = _filled(random.choice(WAYS).replace("{{", "{").replace("}}", "}"), str(number), places)
        text, used = text + filled + "\n\n", used + filled
    touching = [change for change in _CHANGES if WORDS[change[1]] in used] or _CHANGES
    changes = [*random.sample(touching, min(len(touching), 14)), random.choice(_CHANGES)]
    base = random.choice(_BASES)
    asked = [base, *(_changed(base, *change) for change in changes)] * 2
    random.shuffle(asked)
    return Case(text, asked)


def _filled(way: str, number: str, places: dict[str, str]) -> str:
    words = []
    for index, char in enumerate(way):
        before, after = way[index - 1 : index], way[index + 1 : index + 2]
        if char == "N" and before.isalpha() and before.islower():
            words.append(number)
        elif char in places and not before.isalnum() and not after.isalnum() and before != '"':
            words.append(places[char])
        else:
            words.append(char)
    return "".join(words)


ABSENT = object()
NUMBERS = (
    ABSENT,
    None,
    1,
    1.0,
    True,
    "1",
    0,
    0.0,
    False,
    "",
    {"n": 1},
    {"n": True},
    {"n": None},
    {},
    [],
    [1],
    [True],
    [1.0],
)
_EDGES = {
    "method": ("GET", "POST", "n"),
    "path": ("/", "/a", "/a/b", "/a/", "/%61", "/1"),
    "query": ("", "q=1", "q=1&q=1", "q=%31", "q", "q=", "p=1", "q=2", "Q=1", "access_token=s&q=1", "q=%", "q=true"),
    "fields": (
        (),
        ((b"x-a", b"1"),),
        ((b"x-a", b"1"), (b"x-a", b"1")),
        ((b"x-a", b""),),
        ((b"x-a", b"1"), (b"x-b", b"2")),
        ((b"x-b", b"2"), (b"x-a", b"1")),
        ((b"cookie", b"s"), (b"x-a", b"1")),
        ((b"x-a", b"\xe9"),),
    ),
    "request_id": ("r1", "r2"),
    "scheme": ("https", "http"),
    "host": ("a.example", "b.example"),
    "port": (443, 8443),
    "protocol": ("HTTP/1.1", "HTTP/1.0"),
    "source": ("192.0.2.44", "192.0.2.45", ""),
    "wall": (1788250200.25, 1788250200.75, 1788250201.25),
}
_CONNECTIONS = {
    "peer": ("192.0.2.44", "192.0.2.45", ""),
    "peer_port": (51324, 0, 1),
    "tls": (None, Tls("TLSv1.3", "a", None), Tls("TLSv1.3", "a", "1"), Tls("TLSv1.2", "a", "1")),
}
_TOKENS = {
    "subject": ("alice", "bob"),
    "issuer": ("https://a", "https://b"),
    "expires_at": (1788253200.0, 1788253201.0),
}
_CERTIFICATES = {
    "spiffe_id": (None, "spiffe://a/1", "1"),
    "revocation": ("good", "unchecked"),
    "sans": (Sans(), Sans(uri=("1",)), Sans(dns=("1",))),
}


def _claims(number: object, listed: object) -> dict[str, object]:
    return {name: value for name, value in (("n", number), ("list", listed)) if value is not ABSENT}


def _changed(admitted: Admitted, kind: str, name: str, value: object) -> Admitted:
    arrived = admitted.arrived
    match kind:
        case "arrived":
            more = {"segments": _segments(str(value))} if name == "path" else {}
            return replace(admitted, arrived=replace(arrived, **{name: value}, **more))
        case "connection":
            return replace(admitted, arrived=replace(arrived, connection=replace(arrived.connection, **{name: value})))
        case "token":
            return admitted if admitted.token is None else replace(admitted, token=_token(admitted.token, name, value))
        case "certificate":
            found = admitted.certificate
            return admitted if found is None else replace(admitted, certificate=_certificate(found, name, value))
    return replace(admitted, **{name: value})


def _segments(path: str) -> tuple[str, ...]:
    return tuple(map(unquote, path[1:].split("/"))) if path != "/" else ()


def _token(token, name, value):
    changed = replace(token, **{name: value})
    text = repr((changed.issuer, changed.subject, changed.expires_at, changed.claims))
    return replace(changed, digest=hashlib.sha256(text.encode()).digest())


def _certificate(certificate, name, value):
    changed = replace(certificate, **{name: value})
    text = repr((changed.spiffe_id, changed.sans))
    return replace(changed, fingerprint=hashlib.sha256(text.encode()).hexdigest())


def _bases():
    plain = example()
    arrived = replace(plain.arrived, query="", fields=(), path="/a", segments=("a",))
    whole = replace(plain, arrived=arrived, token=_token(plain.token, "claims", _claims(1, [1])))
    return whole, replace(whole, token=None), replace(whole, certificate=None)


WORDS = {name: name for table in (_EDGES, _CONNECTIONS, _TOKENS, _CERTIFICATES) for name in table} | {
    "fields": "headers",
    "request_id": "request.id",
    "peer": "source",
    "peer_port": "source.port",
    "wall": "clock",
    "spiffe_id": "certificate",
    "revocation": "certificate",
    "sans": "certificate",
    "path": "request.",
    "claims": "token.claims",
    "route": "headers :=",
    "token": "token",
    "certificate": "certificate",
}
"""A word in the rules of those policies that are likely to look at what a change changes."""
_BASES = _bases()
_CHANGES = [
    *(("arrived", name, value) for name, values in _EDGES.items() for value in values),
    *(("connection", name, value) for name, values in _CONNECTIONS.items() for value in values),
    *(("token", name, value) for name, values in _TOKENS.items() for value in values),
    *(("token", "claims", _claims(number, [1])) for number in NUMBERS),
    *(("token", "claims", _claims(1, listed)) for listed in NUMBERS),
    *(("certificate", name, value) for name, values in _CERTIFICATES.items() for value in values),
    *(("admitted", "route", route) for route in ("orders", "other")),
    ("admitted", "token", None),
    ("admitted", "certificate", None),
]


def write(directory, rules, data):
    """Make a policy directory of it."""
    (directory / "policy.rego").write_text(rules)
    (directory / "helpers.rego").write_text(HELPERS)
    (directory / "data.json").write_text(json.dumps(data))
