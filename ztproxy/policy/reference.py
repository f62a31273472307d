"""Writes what is told about the input document: `python -m ztproxy.policy.reference` in a checkout.

docs/policy-input.md and `input.schema.json` come from here, so that neither drifts from the program; a test compares.
"""

import json
from pathlib import Path
from typing import Any

from ztproxy.model import Admitted, Arrived, Certificate, Connection, Refusal, Sans, Tls, Token
from ztproxy.policy.document import Documents
from ztproxy.policy.schema import PARTS, SansPart, json_schema

SCHEMA = Path(__file__).with_name("input.schema.json")
PAGE = Path(__file__).parents[2] / "docs" / "policy-input.md"

_INTRODUCTION = """\
# The policy's input

<!-- Made by `python -m ztproxy.policy.reference`; a test compares. -->

This is all that a policy gets to see of a request, as `input`. Every field is always present; where there is nothing to
say it is `null`. The shape is also a JSON Schema, `ztproxy/policy/input.schema.json`; OPA's own command checks a policy
against it and names fields that no input has: `opa check --strict --schema ztproxy/policy/input.schema.json policies/`.

In Rego `null` counts as true: `if input.token` holds without a token. Write `input.token != null`.

It has two promises. What is in it was checked: the certificate and the token are verified and fit for use on this
route, and the request has one spelling only, the one that routing and the upstream see too. And no credential is in it:
no `Authorization`, no `Cookie`, no field whose name says token, secret, password, key to an API or the like, and none
of the fields that the proxy or a policy sets, so a client cannot pretend to be either. `Sec-WebSocket-Protocol` is
left out as well, because browsers' clients put tokens there.

A query that two decoders could read differently (`%` that begins no escape, escapes that are no UTF-8) never gets as
far as the policy: it is refused with 400, and one of more than 1000 parameters with 431.
"""

_ANSWER = """\
## The answer

At the entrypoint (`data.ztproxy.authz.decision`, configurable) the policy answers with `true`, `false`, or an object:

| key | value | |
|---|---|---|
| `allow` | boolean | required |
| `reasons` | list of strings | why; in the decision log, and shown to the refused where `policy.show_reasons` is true. At most 64, 4 KiB each, 32 KiB in all, without control characters |
| `headers` | object of strings | fields to set towards the upstream; each name declared in the route's `policy_headers`, values printable ASCII |
| `max_age` | number of seconds, from 0 up | how long the decision may be remembered |
| `step_up` | object with `acr_values` (list of words), `max_age` (seconds, from 10 up), or both | how strong and how recent the login must be, beside all else: one of these as the token's `acr`, and `auth_time` no longer ago. Where it is not, the request is `step-up-required`, whatever `allow` says: browsers are sent to log in again, others get a challenge (RFC 9470) |

Anything else refuses the request. Nothing at the entrypoint is `policy-undefined`; any other value is
`policy-malformed`: the string `"true"`, `1`, `null`, `{}`, a key that is not in the table, a header that is not declared.
`limit` is reserved and not met yet, so a decision that holds it is malformed too. `policy-error`,
`policy-timeout` and `policy-unavailable` tell that no answer came about.

`time.now_ns()` is the time at which the request arrived, in steps of `policy.clock_step` (a second unless configured);
with `engine: server` it is the server's own.

## What is remembered

Decisions are remembered (`policy.memo`), so that a question which was asked already costs about a microsecond. What
counts as the same question is found in the policy itself: OPA's analysis, widened by a reading of every rule that the
entrypoint can reach, gives the places of the input that the decision can depend on. The engine is shown nothing else,
and a decision is kept under the values at exactly these places (1, 1.0, true, "1", null and nothing at all being
different values), the hash over rules and data that decided, the route, and, where the policy reads the clock, its
step.

A remembered decision ends with the token, the certificate, the decision's own `max_age` or `policy.memo.maximum_age`,
whichever is first. Only decisions are remembered, whether they allow or deny: never an error, a timeout, an undefined or
a malformed answer. Limits are charged for each request, and each has its line in the access log (`memo`: `hit`, `miss`
or `off`) and its event in the decision log. Nothing is remembered of a policy that calls a builtin which is not known to
repeat itself (`http.send`, `rand.intn`, ...), nor with `engine: server`.

`ztproxy policy deps` prints what a policy reads and what keeps its decisions from being remembered. A policy that reads
`input.request.id`, `input.source.port` or `input` as a whole asks a new question each time. Read
`input.token.claims.groups` rather than `claims := input.token.claims`: tokens that say the same there share decisions.
What was asked for once never displaces what was asked for again, and what has
more than 8 KiB with its answer is decided anew each time.
"""  # noqa: E501 - rows of a table do not wrap


def example() -> Admitted:
    """A request as it comes to the policy, for the page and to start tests from."""
    connection = Connection(
        listener="0.0.0.0:8443",
        scheme="https",
        peer="192.0.2.44",
        peer_port=51324,
        local_port=8443,
        tls=Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384", "orders.corp.example"),
    )
    certificate = Certificate(
        der=b"",
        subject="CN=alice-laptop,O=Corp",
        common_name="alice-laptop",
        sans=Sans(dns=("alice-laptop.corp.example",), uri=("spiffe://corp.example/device/alice-laptop",)),
        spiffe_id="spiffe://corp.example/device/alice-laptop",
        issuer="CN=Corp Device CA,O=Corp",
        serial="5e1f09",
        fingerprint="b5c7a5f5a3e1b6c6f0f4f6cf5a0d2a8a3d24ab0f3c7b1e6e2f9c8d7b6a594837",
        not_before=1772323200.0,
        not_after=1803859200.0,
        version=3,
        is_authority=False,
        extended_key_usage=("1.3.6.1.5.5.7.3.2",),
        chain=(),
        revocation="good",
    )
    claims = {
        "iss": "https://login.corp.example",
        "sub": "alice",
        "aud": "ztproxy",
        "iat": 1788249600,
        "exp": 1788253200,
        "groups": ["clerks"],
        "device": "alice-laptop",
    }
    token = Token(
        digest=bytes(32),
        issuer="https://login.corp.example",
        subject="alice",
        audience=("ztproxy",),
        claims=claims,
        kind="jwt",
        bound_to=None,
        issued_at=1788249600.0,
        expires_at=1788253200.0,
        key_id="2026-08",
        groups=("clerks",),
        roles=("reader",),
    )
    arrived = Arrived(
        request_id="01k3zq6x5f8w2m4t7r9v",
        wall=1788250200.0,
        monotonic=5000.0,
        connection=connection,
        source="192.0.2.44",
        method="GET",
        scheme="https",
        host="orders.corp.example",
        port=443,
        authority=b"orders.corp.example",
        path="/api/orders/17",
        segments=("api", "orders", "17"),
        query="view=full&tag=new+ones&tag=%C3%BCber",
        has_query=True,
        fields=((b"accept", b"application/json"), (b"user-agent", b"curl/8.14.1")),
        unverified_authorization=(b"Bearer ...",),
        content_length=0,
    )
    return Admitted(arrived, "orders", certificate, token, None)


def example_document() -> bytes:
    """The example's document, made by the program."""
    document = Documents().write(example())
    if isinstance(document, Refusal):
        raise TypeError(document.detail)
    return document


def schema_text() -> str:
    """`input.schema.json`."""
    return json.dumps(json_schema(), indent=2) + "\n"


def page() -> str:
    """docs/policy-input.md."""
    written = json.dumps(json.loads(example_document()), indent=2, ensure_ascii=False)
    sections = [_INTRODUCTION, f"## An example\n\n```json\n{written}\n```\n"]
    schema = json_schema()
    for name, part in PARTS.items():
        about = (part.__doc__ or "").strip()
        rows = _rows(schema["$defs"], part.__name__, f"input.{name}")
        sections.append(f"## `input.{name}`\n\n{about}\n\n| field | type | |\n|---|---|---|\n{rows}\n")
    return "\n".join([*sections, _ANSWER])


def _rows(definitions: dict[str, Any], name: str, place: str) -> str:
    rows: list[str] = []
    for field, described in definitions[name]["properties"].items():
        rows.append(f"| `{place}.{field}` | {_type(described)} | {described.get('description', '')} |")
        if field == "sans":
            rows.append(_rows(definitions, SansPart.__name__, f"{place}.sans"))
    return "\n".join(rows)


def _type(described: dict[str, Any]) -> str:
    if choices := described.get("anyOf"):
        return " or ".join(sorted((_type(choice) for choice in choices), key=lambda word: word == "null"))
    match described.get("type"):
        case "array":
            return f"list of {_type(described['items'])}s"
        case "object" if isinstance(values := described.get("additionalProperties"), dict) and values:
            return f"object of {_type(values).replace('list', 'lists')}"
        case None:
            return "object"
        case word:
            return str(word)


def main() -> None:
    """Write both files."""
    SCHEMA.write_text(schema_text(), "utf-8")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
