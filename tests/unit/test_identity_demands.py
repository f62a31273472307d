import pytest

from tests.issuer_server import World
from tests.pki import Authority
from ztproxy.identity import Identity, IdentityConfigError
from ztproxy.identity.demands import demands_of

ISSUER = {"issuer": "https://a.test", "audiences": ["ztproxy"]}
OTHER = {"issuer": "https://b.test", "audiences": ["ztproxy"]}
ROOT, SECOND = Authority.new("One"), Authority.new("Two")


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def listening(world):
    """Settings of a listener that asks for certificates of these files, with one route."""
    certificate, key = ROOT.server().write(world.folder, "server")

    def settings(*authorities, issuers=(), **route):
        asked = {"authorities": list(authorities), "mode": "optional"} if authorities else {}
        listener = {
            "address": "127.0.0.1:8443",
            "certificates": [{"certificate": certificate, "key": key}],
            "client_certificates": asked,
        }
        return world.settings(list(issuers), listeners=[listener], routes=[world.route(**({"require": []} | route))])

    return settings


def refused(settings, key):
    with pytest.raises(IdentityConfigError) as wrong:
        Identity.build(settings)
    assert wrong.value.key == key
    assert str(wrong.value).startswith(key)


def test_one_issuer_and_one_authority_need_not_be_named(listening, world):
    settings = listening(ROOT.write(world.folder), issuers=[ISSUER], require=["token", "certificate"])
    demands = demands_of(settings)["r"]
    assert (demands.certificate, demands.token) == (True, True)
    assert demands.issuers == {"https://a.test"}
    assert demands.authorities == {ROOT.der}


def test_one_of_several_is_named(listening, world):
    files = [ROOT.write(world.folder, "one"), SECOND.write(world.folder, "two")]
    assert demands_of(listening(*files, authorities=[files[1]]))["r"].authorities == {SECOND.der}
    settings = world.settings([ISSUER, OTHER], routes=[world.route(issuers=["https://b.test"])])
    assert demands_of(settings)["r"].issuers == {"https://b.test"}


def test_a_file_may_hold_several_authorities(listening, world):
    path = world.folder / "both.pem"
    path.write_bytes(ROOT.pem + SECOND.pem)
    assert demands_of(listening(path))["r"].authorities == {ROOT.der, SECOND.der}


def test_several_issuers_and_none_named(world):
    refused(world.settings([ISSUER, OTHER], routes=[world.route()]), "routes[r].issuers")


def test_several_authorities_and_none_named(listening, world):
    files = [ROOT.write(world.folder, "one"), SECOND.write(world.folder, "two")]
    refused(listening(*files), "routes[r].authorities")


def test_an_issuer_that_is_not_configured(world):
    refused(world.settings([ISSUER], routes=[world.route(issuers=["https://a.tset"])]), "routes[r].issuers")


def test_a_token_that_nobody_could_bring(world):
    refused(world.settings([]), "routes[r].issuers")
    refused(world.settings([ISSUER], routes=[world.route(issuers=[])]), "routes[r].issuers")


def test_a_certificate_that_nobody_asks_for(listening):
    refused(listening(require=["certificate"]), "routes[r].require")


def test_nobodys_certificates(listening, world):
    refused(listening(ROOT.write(world.folder), authorities=[]), "routes[r].authorities")


def test_an_authority_file_that_holds_none(listening, world):
    path = world.folder / "empty.pem"
    path.write_bytes(b"# nothing\n")
    refused(listening(path), "routes[r].authorities")


def test_an_issuer_twice(world):
    refused(world.settings([ISSUER, ISSUER]), "issuers[https://a.test]")


@pytest.mark.parametrize("url", ["http://a.test", "https://a.test/?x=1"])
def test_an_issuer_that_is_no_https_url(world, url):
    refused(world.settings([ISSUER | {"issuer": url}]), f"issuers[{url}].issuer")


def test_a_list_that_cannot_be_read_names_its_place(listening, world):
    path = world.folder / "broken.crl"
    path.write_bytes(b"nonsense")
    settings = listening(ROOT.write(world.folder))
    listener = settings.listeners[0]
    asked = listener.client_certificates.model_copy(update={"crl": (path,)})
    listeners = (listener.model_copy(update={"client_certificates": asked}),)
    refused(settings.model_copy(update={"listeners": listeners}), "listeners[127.0.0.1:8443].client_certificates.crl")
