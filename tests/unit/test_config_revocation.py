"""What may be said about revoked certificates, and where it is told what is wrong."""

import pytest

from tests.pki import Authority
from ztproxy.config.loading import ConfigError, parse
from ztproxy.config.revocation import is_plain_url
from ztproxy.config.settings import Settings

TEXT = """\
version: 1
listeners:
  - address: 127.0.0.1:8443
    certificates: [{certificate: gateway.pem, key: gateway.key}]
    client_certificates:
      authorities: [ca.pem]
      mode: MODE
      revocation:
        - SECTION
policy: {path: policies}
routes:
  - {name: a, hosts: ["*"], paths: [/], require: [], upstream: {servers: ["http://127.0.0.1:1"]}}
"""
URL = "http://pki.test/ca.crl"


@pytest.fixture
def read(tmp_path):
    authority = Authority.new()
    authority.server().write(tmp_path, "gateway")
    authority.write(tmp_path)
    authority.write_crl(tmp_path)
    (tmp_path / "policies").mkdir()

    def read(section: str, mode: str = "optional") -> Settings:
        return parse(TEXT.replace("SECTION", section).replace("MODE", mode), tmp_path / "z.yaml")

    return read


def test_the_defaults(read):
    settings = read(f"{{authority: ca.pem, crl: [ca.crl], crl_urls: ['{URL}'], ocsp_urls: ['http://ocsp.test']}}")
    (section,) = settings.listeners[0].client_certificates.revocation
    assert (section.on_unknown, section.grace, section.wait, section.refresh) == (None, None, 2.0, 3600.0)
    assert (section.follow, section.ocsp_nonce) == ((), "send")


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{authority: ca.pem}", "nothing says what was revoked"),
        ("{authority: none.pem, crl: [ca.crl]}", "none.pem: no such file"),
        ("{authority: ca.pem, crl: [none.crl]}", "none.crl: no such file"),
        ("{authority: ca.pem, crl_urls: ['ldap://pki.test/x']}", "a URL is http(s)://"),
        ("{authority: ca.pem, crl_urls: ['http://u@pki.test/x']}", "a URL is http(s)://"),
        ("{authority: ca.pem, follow: ['http://pki.test']}", "must begin with"),
        ("{authority: ca.pem, follow: ['http://pki.test/x']}", "must begin with"),
        ("{authority: ca.pem, follow: ['http://pki.test/?x=/']}", "must begin with"),
        ("{authority: ca.pem, follow: ['http://']}", "must begin with"),
        (f"{{authority: ca.pem, crl_urls: ['{URL}'], refresh: 30s}}", "`refresh` is at least 1m"),
        (f"{{authority: ca.pem, crl_urls: ['{URL}'], wait: 11s}}", "less than or equal to 10"),
        (f"{{authority: ca.pem, crl_urls: ['{URL}'], on_unknown: maybe}}", "'refuse' or 'allow'"),
        (f"{{authority: ca.pem, crl_urls: ['{URL}'], ocsp_nonce: maybe}}", "'send', 'require' or 'omit'"),
        ("{authority: ca.pem, crl: [ca.crl], gracee: 1h}", "did you mean `grace`"),
        ("{authority: ca.pem, crl: [ca.crl]}\n        - {authority: ca.pem, crl: [ca.crl]}", "ca.pem is named twice"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(read, section, said):
    with pytest.raises(ConfigError) as caught:
        read(section)
    (problem,) = caught.value.problems
    assert said in str(problem)
    assert problem.line in (8, 9)


def test_where_no_certificates_are_asked_for_it_means_nothing(read):
    with pytest.raises(ConfigError, match="have no effect"):
        read("{authority: ca.pem, crl: [ca.crl]}", mode="off")


@pytest.mark.parametrize(
    "url", ["http://a.test", "https://a.test:8080/x?y=1", "http://[::1]:80/x", "http://10.0.0.1/a%20b"]
)
def test_urls_with_one_reading(url):
    assert is_plain_url(url)


@pytest.mark.parametrize(
    "url",
    ["http://", "http:///x", "http://a.test:0/", "http://a.test:99999/", "http://a.test/./x", "http://a.test/x/..",
     "http://a.test/%2E/", "http://a.test\n", "http://a.test/ü", "http://a.test/x#y", "HTTP://a.test/", "http://[::1/"],
)  # fmt: skip
def test_urls_with_more(url):
    assert not is_plain_url(url)
