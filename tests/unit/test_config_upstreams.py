"""What an `upstream` may say, and what is refused with the place and what would have been right."""

from pathlib import Path

import pytest

from ztproxy.config.loading import ConfigError, parse
from ztproxy.config.upstreams import Upstream, WeightedServer

TEXT = """\
version: 1
listeners: [{{address: "127.0.0.1:8080", protocol: http}}]
policy: {{path: .}}
routes:
  - name: all
    hosts: ["*"]
    require: []
    upstream: {upstream}
"""
ROUTE = """\
  - name: other
    hosts: ["{host}"]
    paths: [/other/]
    require: []
    upstream: {upstream}
"""


def read(upstream: str, folder: Path, more: str = "") -> Upstream:
    return parse(TEXT.format(upstream=upstream) + more, folder / "z.yaml").routes[0].upstream


def problem(upstream: str, folder: Path, more: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        read(upstream, folder, more)
    (only,) = caught.value.problems
    return f"{only.line}: {only.message}"


def test_servers_with_and_without_a_weight(tmp_path):
    upstream = read('{servers: ["http://10.0.0.1:80/", {url: "http://10.0.0.2", weight: 3}]}', tmp_path)
    assert upstream.weighted == (
        WeightedServer(url="http://10.0.0.1:80", weight=1),
        WeightedServer(url="http://10.0.0.2", weight=3),
    )
    assert upstream.urls == ("http://10.0.0.1:80", "http://10.0.0.2")
    assert not upstream.secure


def test_unix_sockets_beside_plain_http(tmp_path):
    assert read('{servers: ["unix:/run/app.sock", "http://10.0.0.1"]}', tmp_path).urls[0] == "unix:/run/app.sock"


@pytest.mark.parametrize(
    "balance",
    [
        "round_robin",
        "least_requests",
        "consistent_hash(source.address)",
        "consistent_hash(token.subject)",
        "consistent_hash(token.claims.org.tenant)",
        "consistent_hash(certificate.fingerprint)",
        "consistent_hash(certificate.spiffe_id)",
        "consistent_hash(header.X-Shard)",
    ],
)
def test_ways_to_balance(tmp_path, balance):
    assert read(f'{{servers: ["http://h"], balance: "{balance}"}}', tmp_path).balance == balance


@pytest.mark.parametrize(
    ("upstream", "said"),
    [
        ('{servers: [{url: "http://h", weight: 0}]}', "8: `routes.0.upstream.servers.0.weight`: input should be gr"),
        ('{servers: [{url: "http://h", wait: 3}]}', "8: unknown key `wait`; did you mean `weight`?"),
        (
            '{servers: ["unix:run/app.sock"]}',
            "8: `routes.0.upstream.servers.0`: a server on a Unix socket is unix:/",
        ),
        ('{servers: ["https://h", "unix:/a"]}', "8: `routes.0.upstream`: servers of one upstream are all reached"),
        ('{servers: ["http://h", {url: "http://h/"}]}', "8: `routes.0.upstream`: a server is named twice"),
        ('{servers: ["unix:/a"], tls: {}}', "8: `routes.0.upstream`: `tls` has no effect"),
        ('{servers: ["http://h"], balance: random}', "8: `routes.0.upstream.balance`: `balance` is round_robin"),
        (
            '{servers: ["http://h"], balance: consistent_hash(cookie)}',
            "8: `routes.0.upstream.balance`: `balance` is",
        ),
        ('{servers: ["http://h"], balance: "consistent_hash(header.X)\\n"}', "8: `routes.0.upstream.balance`"),
        ('{servers: ["http://h"], queue: {length: 3}}', "8: `routes.0.upstream`: nothing waits in a `queue`"),
        ('{servers: ["http://h"], health: {}}', "8: `routes.0.upstream.health`: the key `path` is missing"),
        ('{servers: ["http://h"], health: {path: up}}', "8: `routes.0.upstream.health.path`: a path to check st"),
        ('{servers: ["http://h"], health: {path: "/a\\r\\nX: y"}}', "8: `routes.0.upstream.health.path`"),
        ('{servers: ["http://h"], health: {path: /, host: "a b"}}', "8: `routes.0.upstream.health.host`"),
        ('{servers: ["http://h"], health: {path: /, status: [99]}}', "8: `routes.0.upstream.health.status.0`"),
        ('{servers: ["http://h"], sticky: {cookie: "a;b"}}', "8: `routes.0.upstream.sticky.cookie`: a cookie's na"),
        ('{servers: ["http://h"], retries: {statuses: [500]}}', "8: `routes.0.upstream.retries.statuses.0`"),
        ('{servers: ["http://h"], outliers: {maximum_ejected: 101}}', "8: `routes.0.upstream.outliers.maximum_ej"),
    ],
)
def test_what_is_refused(tmp_path, upstream, said):
    assert problem(upstream, tmp_path).startswith(said)


def test_two_upstreams_do_not_share_a_cookie(tmp_path):
    sticky = '{servers: ["http://h"], sticky: {}}'
    said = problem(sticky, tmp_path, ROUTE.format(host="*", upstream='{servers: ["http://i"], sticky: {}}'))
    assert said.startswith("13: the route all has a cookie __Host-ztproxy-server on * too")
    for host, upstream in (
        ("*", sticky),
        ("a.test", '{servers: ["http://i"], sticky: {}}'),
        ("*", '{servers: ["http://i"], sticky: {cookie: other}}'),
    ):
        assert read(sticky, tmp_path, ROUTE.format(host=host, upstream=upstream)).sticky is not None
