"""Changed files that are taken up without anybody's saying so, and policies that are not."""

import asyncio
import hashlib
import socket

import pytest

from tests.functional.gateway import Gateway
from tests.functional.test_always_on import ALLOW, DENY, ask_anew, configure, rego, until_said

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(socket, "send_fds"), reason="needs sockets that are handed on to processes"),
]
WATCH = "reload: {watch: true, interval: 100ms}"


async def test_a_renewed_certificate_is_shown_and_a_changed_policy_is_not_taken_up_with_it(tmp_path):
    async with Gateway(tmp_path, rego=ALLOW, more=WATCH) as gateway:
        before = await asyncio.to_thread(shown, gateway)
        rego(gateway, DENY)
        gateway.ca.server().write(gateway.folder, "gateway")
        await until_said(gateway, "reloaded (watch)")
        assert await asyncio.to_thread(shown, gateway) != before
        assert await ask_anew(gateway, 2) == {200}


async def test_a_policy_is_taken_up_once_its_manifest_agrees_to_the_last_file(tmp_path):
    async with Gateway(tmp_path, rego=ALLOW, more=WATCH) as gateway:
        policies = gateway.folder / "policies"
        rego(gateway, DENY)
        (policies / "SHA256SUMS").write_text(f"{'0' * 64}  authz.rego\n")
        assert "authz.rego is not what it says" in await until_said(gateway, "the policy is not taken up")
        assert await ask_anew(gateway, 2) == {200}
        digest = hashlib.sha256((policies / "authz.rego").read_bytes()).hexdigest()
        (policies / "SHA256SUMS").write_text(f"{digest}  authz.rego\n")
        while await ask_anew(gateway, 1) == {200}:
            await until_said(gateway, "reloaded (watch)")
        assert await ask_anew(gateway, 2) == {403}


async def test_a_configuration_that_is_wrong_changes_nothing_and_one_that_moves_the_policy_has_to_be_said(tmp_path):
    async with Gateway(tmp_path, rego=ALLOW, more=WATCH) as gateway:
        configure(gateway, "version: 1", "version: 1\nnonsense: true")
        assert "unknown key `nonsense`" in await until_said(gateway, "reload (watch) failed")
        configure(gateway, "nonsense: true\n", "")
        configure(gateway, "deadline: 1s", "deadline: 2s")
        assert "`ztproxy reload` takes it up" in await until_said(gateway, "reload (watch) failed")
        assert await ask_anew(gateway, 2) == {200}


def shown(gateway: Gateway) -> bytes:
    """The certificate that the gateway shows."""
    from tests.pki import client_context

    context = client_context(gateway.ca, gateway.client, gateway.folder)
    with socket.create_connection(("127.0.0.1", gateway.port), 10) as raw:
        with context.wrap_socket(raw, server_hostname="localhost") as tls:
            return tls.getpeercert(binary_form=True) or b""
