import pytest
from pydantic import ValidationError

from ztproxy.config.checks import contradictions
from ztproxy.config.sessions import Sessions
from ztproxy.config.settings import Settings


def said(**sessions):
    with pytest.raises(ValidationError) as wrong:
        Sessions(**sessions)
    return str(wrong.value)


@pytest.mark.parametrize(
    ("storage", "kind"),
    [
        ("memory://", "memory"),
        ("sqlite:var/sessions.db", "file"),
        ("sqlite:/var/lib/sessions.db", "file"),
        ("redis://127.0.0.1:6379/0", "machines"),
        ("redis://[::1]:6379", "machines"),
        ("rediss://redis.corp.example:6380/1", "machines"),
        ("rediss://user@redis.corp.example", "machines"),
    ],
)
def test_three_kinds_of_storage(tmp_path, storage, kind):
    made = Sessions(storage=storage, keys=tmp_path / "keys")
    assert (made.file is not None, made.of_machines) == (kind == "file", kind == "machines")


@pytest.mark.parametrize(
    "storage", ["", "memory", "sqlite:", "sqlite://host/x", "file:x", "redis://", "http://x", "machine://"]
)
def test_no_other_storage(storage):
    assert "sessions are kept in" in said(storage=storage, keys="keys")


@pytest.mark.parametrize("storage", ["redis://redis.corp.example:6379/0", "redis://localhost:6379", "redis://10.0.0.1"])
def test_what_could_be_read_on_the_way_is_refused(storage):
    assert "use rediss://" in said(storage=storage, keys="keys")


@pytest.mark.parametrize("storage", ["rediss://:secret@h", "rediss://u:secret@h/0", "rediss://h/0?ssl_cert_reqs=none"])
def test_a_url_holds_neither_password_nor_options(storage):
    assert "has no query, and its password stands in" in said(storage=storage, keys="keys")


def test_machines_that_share_sessions_share_a_ring():
    assert "name its file with `keys`" in said(storage="rediss://h:1/0")


@pytest.mark.parametrize(
    ("sessions", "wanted"),
    [
        ({"idle": "2h", "lifetime": "1h"}, "`idle` is longer than `lifetime`"),
        ({"password": {"env": "HOME"}}, "`password` belongs to redis://"),
        ({"authorities": [__file__]}, "`authorities` verify"),
        ({"maximum": 1}, "greater than or equal to 16"),
        ({"nonsense": 1}, "Extra inputs are not permitted"),
    ],
)
def test_what_makes_no_sense_is_refused(sessions, wanted):
    assert wanted in said(**sessions)


def settings(*, route=None, listener=None, **more):
    login = {"issuer": "https://op.test", "client_id": "web", "client_authentication": "none"}
    sections = {
        "version": 1,
        "listeners": [{"address": "127.0.0.1:1", "protocol": "http"} | (listener or {})],
        "issuers": [{"issuer": "https://op.test", "audiences": ["a"]}],
        "login": [login],
        "policy": {"path": "."},
        "routes": [{"name": "r", "hosts": ["r.test"], "require": ["token"], "login": "https://op.test",
                    "upstream": {"servers": ["http://h"]}} | (route or {})],
    }  # fmt: skip
    return dict(contradictions(Settings.model_validate(sections | more)))


def test_workers_share_their_sessions():
    assert "4 workers would each know other sessions" in settings(workers=4)[("login",)]
    found = settings(workers=4, sessions={"storage": "memory://"})
    assert "sqlite:" in found[("sessions", "storage")]
    assert not any("sessions" in str(place) for place in settings(workers=4, sessions={"storage": "sqlite:x"}))


def test_a_routes_login_is_configured():
    found = settings(route={"login": "https://other.test"})
    assert "no login at https://other.test is configured" in found[("routes", 0, "login")]


def test_what_no_session_can_meet_is_refused():
    found = settings(route={"binding": "dpop"}, dpop={})
    assert "no session ever counts" in found[("routes", 0, "login")]
    found = settings(route={"binding": "certificate"})
    assert "sessions.bind_certificate" in found[("routes", 0, "login")]


def test_a_password_that_is_not_there_is_said():
    sessions = {"storage": "rediss://h:1/0", "keys": "k", "password": {"env": "NO_SUCH_NAME"}}
    assert "NO_SUCH_NAME" in settings(sessions=sessions)[("sessions", "password", "env")]


def test_a_token_may_be_a_session_alone():
    assert not any("token is required" in text for text in settings(route={"issuers": []}).values())
