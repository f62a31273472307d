"""A service that knows nothing of TLS or identity: it listens on a Unix socket, and calls others through another.

python service.py serve NAME APP-SOCKET
python service.py call OUTBOUND-SOCKET METHOD URL
"""

import http.client
import http.server
import json
import socket
import socketserver
import sys
from pathlib import Path
from urllib.parse import urlsplit


class Handler(http.server.BaseHTTPRequestHandler):
    """Says who was asked, and who asked: the sidecar's word for it, in its signed statement."""

    name = ""
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        certificate = "Client-Cert" in self.headers and "X-Ztproxy-Assertion" in self.headers
        body = json.dumps(
            {"service": self.name, "method": self.command, "path": self.path, "known": certificate}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - likewise

    def address_string(self) -> str:
        return "-"

    def log_message(self, *_: object) -> None:
        """The sidecar logs."""


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """HTTP on a Unix socket."""

    daemon_threads = True


class Outbound(http.client.HTTPConnection):
    """Plain HTTP to the sidecar's socket; the Host says whom it is for."""

    def __init__(self, host: str, path: str) -> None:
        super().__init__(host, timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self._path)


def serve(name: str, path: str) -> None:
    """Answer the sidecar."""
    Path(path).unlink(missing_ok=True)
    Handler.name = name
    with Server(path, Handler) as server:
        server.serve_forever()


def call(path: str, method: str, url: str) -> None:
    """Ask another service."""
    parts = urlsplit(url)
    connection = Outbound(parts.netloc, path)
    connection.request(method, parts.path or "/")
    response = connection.getresponse()
    print(response.status, response.read().decode().strip())


if __name__ == "__main__":
    {"serve": serve, "call": call}[sys.argv[1]](*sys.argv[2:])
