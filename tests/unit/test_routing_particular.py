import pytest

from tests.raw_server import arrived
from ztproxy.config.routes import Route
from ztproxy.model import Routed
from ztproxy.routing import Routing, particular


def route(name: str = "r", **more) -> Route:
    plain = {"name": name, "hosts": [f"{name}.test"], "require": [], "upstream": {"servers": ["http://h"]}}
    return Route.model_validate(plain | more)


def test_nothing_is_added_where_nothing_is_asked_for():
    assert isinstance(particular.build([route()]), Routing)


@pytest.mark.parametrize(
    ("host", "protocol", "passes"),
    [
        ("r.test", "websocket", True),
        ("r.test", "tcp-x", False),
        ("x.test", "tcp-x", True),
        ("x.test", "websocket", False),
        ("none.test", "websocket", False),
        ("none.test", None, True),
    ],
)
def test_a_route_lets_through_the_upgrades_that_it_names(host, protocol, passes):
    routing = particular.build([route(), route("x", upgrades=["TCP-X"]), route("none", upgrades=[])])
    outcome = routing.route(arrived(host=host, upgrade=protocol))
    assert isinstance(outcome, Routed) is passes
    assert passes or outcome.close


def test_what_has_no_route_is_refused_as_ever():
    routing = particular.build([route(upgrades=[])])
    assert routing.route(arrived(host="elsewhere.test")).reason.word == "route-not-found"


@pytest.mark.parametrize("name", ["h2c", "H2C", "h2", "HTTP/2.0", "TLS/1.0", "connect-udp", "", "a b", "a,b"])
def test_protocols_that_no_route_can_name(name):
    with pytest.raises(ValueError, match=r"protocol|switch"):
        route(upgrades=[name])
