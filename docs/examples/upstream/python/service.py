"""A service behind ztproxy that says who asks: it believes the assertion and nothing else.

    pip install "pyjwt[crypto]"
    ZTPROXY_JWKS=https://orders.corp.example/.well-known/ztproxy/jwks.json \
    ZTPROXY_ISSUER=https://gateway.corp.example ZTPROXY_AUDIENCE=orders PORT=8080 python service.py

`ZTPROXY_CA` names a PEM file of the authority behind the gateway's certificate, where it is not a public one.
"""

import json
import os
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt

KEYS = jwt.PyJWKClient(
    os.environ["ZTPROXY_JWKS"],
    lifespan=300,  # seconds, as the gateway allows; an unknown key is asked for at once
    timeout=5,
    ssl_context=ssl.create_default_context(cafile=os.environ.get("ZTPROXY_CA")),
)
ISSUER = os.environ["ZTPROXY_ISSUER"]
AUDIENCE = os.environ["ZTPROXY_AUDIENCE"]


def verified(values: list[str]) -> dict[str, Any]:
    """The claims of the one assertion. Raises `jwt.PyJWTError`."""
    if len(values) != 1:
        raise jwt.InvalidTokenError("exactly one X-Ztproxy-Assertion is needed")
    return jwt.decode(
        values[0],
        KEYS.get_signing_key_from_jwt(values[0]),
        algorithms=["ES256"],
        issuer=ISSUER,
        audience=AUDIENCE,
        leeway=5,
        options={"require": ["iss", "aud", "sub", "iat", "exp"]},
    )


class Service(BaseHTTPRequestHandler):
    """Answers who asks, or 401."""

    def do_GET(self) -> None:
        """Who asks."""
        try:
            claims = verified(self.headers.get_all("X-Ztproxy-Assertion", []))
        except jwt.PyJWTError as wrong:
            self.answer(401, {"error": str(wrong)})
            return
        # A subject means something together with who named it: an issuer of tokens, or none for a certificate.
        self.answer(200, {"issuer": claims.get("token_issuer"), "subject": claims["sub"], "claims": claims})

    def answer(self, status: int, body: dict[str, Any]) -> None:
        """Answer with JSON."""
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Service)
    print("listening on", server.server_port, flush=True)
    server.serve_forever()
