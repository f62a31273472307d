import pytest

from ztproxy.config import operation
from ztproxy.config.files import files_of
from ztproxy.config.loading import ConfigError, admin_of, parse

CONFIGURATION = """\
version: 1
listeners: [{address: '127.0.0.1:0', protocol: http}]
policy: {path: policies}
routes: [{name: a, hosts: ["*"], require: [], upstream: {servers: ["http://127.0.0.1:1"]}}]
"""


def parsed(folder, more, **options):
    (folder / "policies").mkdir(exist_ok=True)
    return parse(CONFIGURATION + more, folder / "z.yaml", **options)


def test_workers_are_one_a_number_or_as_many_as_there_are_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(operation, "usable_cores", lambda: 6)
    assert operation.worker_count(parsed(tmp_path, "").workers) == 1
    assert operation.worker_count(parsed(tmp_path, "workers: 4").workers) == 4
    assert operation.worker_count(parsed(tmp_path, "workers: auto").workers) == 6
    assert operation.usable_cores() >= 1
    for wrong in ("0", "257", "many", "-1"):
        with pytest.raises(ConfigError, match="workers"):
            parsed(tmp_path, f"workers: {wrong}")


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ("{address: '0.0.0.0:9901', token: {env: PATH}}", "or on loopback"),
        ("{address: 'localhost:9901', token: {env: PATH}}", "or on loopback"),
        ("{address: '127.0.0.1:9901'}", "say `token`"),
        ("{address: 'unix:/run/a.sock', token: {env: PATH}}", "`token` belongs to a TCP address"),
    ],
)
def test_an_admin_socket_that_others_could_reach_is_refused(tmp_path, section, why):
    with pytest.raises(ConfigError, match=why):
        parsed(tmp_path, f"admin: {section}")


def test_the_admin_socket_is_found_whatever_else_is_wrong(tmp_path):
    path = tmp_path / "z.yaml"
    path.write_text("nonsense: true\nadmin: {address: 'unix:/run/a.sock'}\n")
    assert str(admin_of(path).address) == "unix:/run/a.sock"
    path.write_text("version: 1\n")
    assert admin_of(path) is None
    path.write_text("version: 1\nadmin: {adress: 'unix:/run/a.sock'}\n")
    with pytest.raises(ConfigError, match=r"z\.yaml:2:.*did you mean `address`"):
        admin_of(path)


def test_the_files_that_a_configuration_reads_are_known_and_not_those_it_writes(tmp_path):
    for name in ("ca.pem", "crl.pem", "a.pem", "a.key", "secret"):
        (tmp_path / name).write_text("")
    settings = parse(
        """\
version: 1
listeners:
  - address: 127.0.0.1:0
    certificates: [{certificate: a.pem, key: a.key}]
    client_certificates: {authorities: [ca.pem], mode: optional, crl: [crl.pem]}
policy: {engine: server, server: {token: {file: secret}}}
routes:
  - name: a
    hosts: ["*"]
    require: []
    upstream: {servers: ["https://127.0.0.1:1"], tls: {authorities: [ca.pem], certificate: a.pem, key: a.key}}
logs: {decisions: d.db, access: access.log}
assertion: {key: assertion.key, issuer: "https://a.example"}
""",
        tmp_path / "z.yaml",
    )
    names = [path.name for path in files_of(settings)]
    assert sorted(set(names)) == ["a.key", "a.pem", "ca.pem", "crl.pem", "secret"]
