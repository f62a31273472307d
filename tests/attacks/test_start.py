"""Nothing serves, not for a moment, while something is wrong with what it would serve with."""

import socket

import pytest

from ztproxy.config.loading import parse
from ztproxy.serve import Server, StartError

PLAIN = """\
version: 1
listeners: [LISTENERS]
policy: {path: policies}
routes: [{name: a, hosts: ["*"], require: [], upstream: {servers: ["http://127.0.0.1:1"]}}]
"""


def settings(folder, *ports, rego="decision := true"):
    (folder / "policies").mkdir()
    (folder / "policies" / "authz.rego").write_text(f"package ztproxy.authz\n\n{rego}\n")
    listeners = ", ".join(f"{{address: '127.0.0.1:{port}', protocol: http}}" for port in ports)
    return parse(PLAIN.replace("LISTENERS", listeners), folder / "z.yaml")


async def test_no_socket_is_bound_when_something_is_wrong(tmp_path):
    """Were the address tried first, it would be what the start ends at."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(StartError) as wrong:
            await Server.start(settings(tmp_path, taken.getsockname()[1], rego="decision := x"))
    (problem,) = wrong.value.problems
    assert "authz.rego:3:13" in problem
