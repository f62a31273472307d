"""`ztproxy demo`: what it makes, its tour, and what it says."""

import asyncio
import os
import re
import signal
import sys

import aiohttp
import pytest
from cryptography import x509

from tests.pki import Authority
from ztproxy.demo import tour, world
from ztproxy.demo.world import FolderError

pytestmark = pytest.mark.slow


async def run(*arguments, folder):
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ztproxy", "demo", "--folder", str(folder), *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


async def test_the_tour_goes_as_it_should(tmp_path):
    process = await run("--tour", folder=tmp_path / "demo")
    async with asyncio.timeout(60):
        said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    assert said.count("as it should be") == 5
    assert "5 of 5" in said
    assert {path.name for path in tmp_path.iterdir()} == {"demo"}


async def test_the_tour_fails_when_an_answer_is_not_as_it_should_be(tmp_path, monkeypatch, capsys):
    async with world.running(tmp_path / "demo", 0) as made:
        (made.folder / "tokens" / "expired").write_text((made.folder / "tokens" / "ada").read_text())
        assert not await tour.take(made)
    said = capsys.readouterr().out
    assert "4 of 5" in said
    assert "NOT as it should be: status 200 instead of 401" in said


@pytest.fixture
async def serving(tmp_path):
    process = await run("--port", "0", folder=tmp_path / "demo")
    yield process
    if process.returncode is None:
        process.kill()
        await process.wait()


async def test_its_commands_can_be_pasted(serving):
    process = serving
    assert process.stdout is not None
    said = ""
    async with asyncio.timeout(60):
        while "Ctrl-C ends it." not in said:
            line = await process.stdout.readline()
            assert line, said
            said += line.decode()
    commands = re.findall(r"^(?:for|curl)(?:[^\\\n]|\\\n)*", said, re.MULTILINE)
    assert len(commands) == 6
    answers = []
    for command in commands:
        shell = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE)
        async with asyncio.timeout(30):
            answers.append((await shell.communicate())[0].decode())
    for word, answer in zip(
        ("clerk", "policy-denied", "certificate-required", "token-expired", "rate-limited", "access_token"),
        answers,
        strict=True,
    ):
        assert word in answer
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(30):
        await process.communicate()
    assert process.returncode == 0


async def test_its_authority_is_good_for_localhost_alone_and_for_a_day(tmp_path):
    async with world.running(tmp_path / "demo", 0) as made:
        certificate = x509.load_pem_x509_certificate((made.folder / "pki" / "authority.pem").read_bytes())
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints)
        assert constraints.critical
        assert x509.DNSName("localhost") in constraints.value.permitted_subtrees
        lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        assert lifetime.total_seconds() < 90_000
        for key in (made.folder / "pki").glob("*.key"):
            assert key.stat().st_mode & 0o077 == 0


async def test_its_issuer_gives_tokens_to_its_users_alone(tmp_path):
    async with world.running(tmp_path / "demo", 0) as made, aiohttp.ClientSession() as session:
        import ssl

        context = ssl.create_default_context(cafile=made.folder / "pki" / "authority.pem")
        for form, status in (
            ({"grant_type": "password", "username": "bob", "password": "bob"}, 200),
            ({"grant_type": "password", "username": "bob", "password": "eve"}, 400),
            ({"grant_type": "password", "username": "eve", "password": "eve"}, 400),
            ({"grant_type": "client_credentials", "client_id": "report-job", "client_secret": "report-job"}, 200),
            ({"grant_type": "refresh_token"}, 400),
        ):
            async with session.post(f"{made.issuer.url}/token", data=form, ssl=context) as response:
                assert response.status == status, form


async def test_it_never_deletes_what_it_did_not_make(tmp_path):
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(FolderError, match="something else than an earlier demo"):
        async with world.running(tmp_path, 0):
            pass
    assert (tmp_path / "mine").read_text() == "precious"


async def test_a_stranger_s_certificate_does_not_get_in(tmp_path):
    async with world.running(tmp_path / "demo", 0) as made:
        import ssl

        context = ssl.create_default_context(cafile=made.folder / "pki" / "authority.pem")
        context.load_cert_chain(*Authority.new("ztproxy demo authority").issue("ada").write(tmp_path, "stranger"))
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"{made.url}/orders/1", ssl=context)


async def test_a_browser_logs_in_at_the_portal_and_who_may_not_is_told(tmp_path):
    import ssl

    page = {"Accept": "text/html"}
    async with world.running(tmp_path / "demo", 0) as made:
        context = ssl.create_default_context(cafile=made.folder / "pki" / "authority.pem")
        for user, status, shown in (("ada", 200, "You are at /portal/"), ("bob", 403, "the portal is for clerks")):
            connector = aiohttp.TCPConnector(ssl=context)
            async with aiohttp.ClientSession(connector=connector, headers=page) as browser:
                async with browser.get(f"{made.url}/portal/") as asked:
                    text, where = await asked.text(), asked.url
                assert where.path.endswith("/authorize")
                assert f"Log in as {user}" in text
                form = {name: where.query[name] for name in ("redirect_uri", "state", "nonce", "code_challenge")}
                async with browser.post(where.with_query(None), data={**form, "user": user}) as answer:
                    assert (answer.status, answer.url.path) == (status, "/portal/")
                    assert shown in await answer.text()
                form["redirect_uri"] = "https://localhost/elsewhere"
                async with browser.post(where.with_query(None), data={**form, "user": user}) as answer:
                    assert answer.status == 400
