"""A route that names its listeners is there for whoever comes in by them, and for nobody else."""

import pytest

from tests.raw_server import arrived
from ztproxy.config.routes import Route
from ztproxy.config.settings import Listener
from ztproxy.model import Connection, Reason, Refusal
from ztproxy.routing import Routing
from ztproxy.routing.by_listener import build

LISTENERS = [
    Listener.model_validate({"name": "in", "address": "127.0.0.1:8443", "svid": True}),
    Listener.model_validate({"address": "unix:/run/out.sock", "protocol": "http"}),
]


def route(name, **said):
    plain = {"name": name, "hosts": ["a.test"], "require": [], "upstream": {"servers": ["http://127.0.0.1:1"]}}
    return Route.model_validate(plain | said)


def found(routing, listener, host="a.test"):
    connection = Connection(listener, "http", "", 0, 0)
    outcome = routing.route(arrived(connection=connection, host=host))
    return None if isinstance(outcome, Refusal) and outcome.reason is Reason.ROUTE_NOT_FOUND else outcome.route


@pytest.mark.parametrize("name", ["in", "127.0.0.1:8443"])
def test_by_name_or_by_address(name):
    routing = build([route("one", listeners=[name])], LISTENERS)
    assert found(routing, "127.0.0.1:8443") == "one"
    assert found(routing, "unix:/run/out.sock") is None


def test_the_same_place_has_a_route_for_each_listener():
    routes = [route("inside", listeners=["in"]), route("outside", listeners=["unix:/run/out.sock"])]
    routing = build([*routes, route("everywhere", hosts=["*"])], LISTENERS)
    assert found(routing, "127.0.0.1:8443") == "inside"
    assert found(routing, "unix:/run/out.sock") == "outside"
    assert {found(routing, str(one.address), "b.test") for one in LISTENERS} == {"everywhere"}


def test_plain_routing_where_no_route_names_any():
    assert isinstance(build([route("one")], LISTENERS), Routing)
