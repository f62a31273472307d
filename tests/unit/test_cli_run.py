import pytest

from tests.pki import Authority
from ztproxy.cli.main import main
from ztproxy.config.demonstration import ORGANIZATION
from ztproxy.demo.pki import Authority as DemoAuthority
from ztproxy.demo.world import free_port


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZTPROXY_CONFIG", raising=False)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "authz.rego").write_text("package ztproxy.authz\n\ndecision := true\n")
    return tmp_path


def configured(folder, listener, **more):
    lines = [
        "version: 1",
        f"listeners: [{listener}]",
        "policy: {path: policies}",
        'routes: [{name: a, hosts: ["*"], require: [], upstream: {servers: ["http://127.0.0.1:1"]}}]',
        *(f"{key}: {value}" for key, value in more.items()),
    ]
    (folder / "ztproxy.yaml").write_text("\n".join(lines))


def test_without_a_configuration_it_says_what_it_needs(folder, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["run", "--policy", "policies"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "ztproxy demo" in said
    assert "ztproxy config init" in said


def test_an_address_that_is_taken_is_named(folder, capsys):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        configured(folder, f"{{address: '127.0.0.1:{port}', protocol: http}}")
        assert main(["run"]) == 2
    assert f"cannot listen on 127.0.0.1:{port}: " in capsys.readouterr().err


def test_a_policy_that_does_not_compile_stops_the_start_with_its_place(folder, capsys):
    configured(folder, "{address: '127.0.0.1:0', protocol: http}")
    (folder / "policies" / "authz.rego").write_text("package ztproxy.authz\n\ndecision := x\n")
    assert main(["run"]) == 2
    assert "authz.rego:3:13" in capsys.readouterr().err


async def test_the_demos_authority_is_refused(folder, capsys):
    import datetime as dt

    authority = DemoAuthority(folder / "pki", dt.datetime.now(dt.UTC))
    Authority.new().server().write(folder, "gateway")
    assert ORGANIZATION in str(authority.certificate.subject)
    listener = (
        f"{{address: '127.0.0.1:{free_port()}', certificates: [{{certificate: gateway.pem, key: gateway.key}}], "
        "client_certificates: {authorities: [pki/authority.pem], mode: required}}"
    )
    configured(folder, listener)
    from ztproxy.config.loading import load
    from ztproxy.parts import StartError, build

    with pytest.raises(StartError, match=r"authority .*authority\.pem is the demo's"):
        build(load(folder / "ztproxy.yaml"))
    parts = build(load(folder / "ztproxy.yaml"), allow_demonstration=True)
    await parts.close()


async def test_the_demos_issuer_is_refused(folder):
    from ztproxy.config.loading import load
    from ztproxy.parts import StartError, build

    configured(
        folder,
        "{address: '127.0.0.1:0', protocol: http}",
        issuers="[{issuer: 'https://localhost:1/ztproxy-demo-not-for-production', audiences: [a]}]",
    )
    with pytest.raises(StartError, match="anyone can have its tokens"):
        build(load(folder / "ztproxy.yaml"))


async def test_two_names_of_one_address_do_not_serve_half(folder):
    from ztproxy.config.loading import load
    from ztproxy.parts import StartError
    from ztproxy.serve import Server

    port = free_port()
    configured(
        folder,
        f"{{address: 'localhost:{port}', protocol: http}}, {{address: '127.0.0.1:{port}', protocol: http}}, "
        "{address: 'unix:" + f"{folder}/s', protocol: http}}",
    )
    with pytest.raises(StartError, match=f"cannot listen on 127.0.0.1:{port}: "):
        await Server.start(load(folder / "ztproxy.yaml"))
    assert not (folder / "s").exists()
    import socket

    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), 1)


def test_a_start_that_fails_leaves_no_socket_behind(folder, capsys):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        configured(
            folder,
            f"{{address: 'unix:{folder}/s', protocol: http}}, {{address: '127.0.0.1:{port}', protocol: http}}",
        )
        assert main(["run"]) == 2
    assert not (folder / "s").exists()
    assert "/ztproxy.yaml:2:" in capsys.readouterr().err
