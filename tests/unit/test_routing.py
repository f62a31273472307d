from ztproxy.config.routes import Route
from ztproxy.config.values import segments
from ztproxy.model import Arrived, Connection, Reason, Refusal, Routed
from ztproxy.routing import Routing


def made(*routes: tuple[str, str, str]) -> Routing:
    upstream = {"servers": ("http://h",)}
    return Routing.build(
        Route(name=name, hosts=(host,), paths=(path,), require=(), upstream=upstream) for name, host, path in routes
    )


def asked(routing: Routing, host: str, path: str) -> str | Reason:
    arrived = Arrived(
        request_id="1", wall=0.0, monotonic=0.0, connection=Connection("l", "https", "127.0.0.1", 1, 2),
        source="127.0.0.1",
        method="GET", scheme="https", host=host, port=443, authority=host.encode(), path=path,
        segments=segments(path), query="",
        has_query=False, fields=(), unverified_authorization=(), content_length=0,
    )  # fmt: skip
    answer = routing.route(arrived)
    if isinstance(answer, Refusal):
        return answer.reason
    assert isinstance(answer, Routed)
    assert answer.arrived is arrived
    return answer.route


def test_the_exact_host_comes_before_the_wildcard_before_everything():
    routing = made(("any", "*", "/"), ("wild", "*.corp.example", "/"), ("exact", "a.corp.example", "/"))
    assert asked(routing, "a.corp.example", "/") == "exact"
    assert asked(routing, "b.corp.example", "/") == "wild"
    assert asked(routing, "c.b.corp.example", "/") == "wild"
    assert asked(routing, "corp.example", "/") == "any"
    assert asked(routing, "evilcorp.example", "/") == "any"


def test_the_longest_wildcard_wins():
    routing = made(("short", "*.example", "/"), ("long", "*.corp.example", "/"))
    assert asked(routing, "a.corp.example", "/") == "long"
    assert asked(routing, "a.other.example", "/") == "short"


def test_the_longest_path_of_whole_segments_wins():
    routing = made(("root", "h", "/"), ("api", "h", "/api/"), ("v1", "h", "/api/v1"))
    assert asked(routing, "h", "/api") == "root"
    assert asked(routing, "h", "/api/x") == "api"
    assert asked(routing, "h", "/apiary") == "root"
    assert asked(routing, "h", "/api/v1") == "v1"
    assert asked(routing, "h", "/api/v1/x") == "v1"
    assert asked(routing, "h", "/api/v12") == "api"


def test_a_host_with_routes_never_falls_back_to_a_less_exact_one():
    routing = made(("any", "*", "/"), ("only", "h", "/app/"))
    assert asked(routing, "h", "/other") is Reason.ROUTE_NOT_FOUND


def test_nothing_published_is_not_found():
    assert asked(made(("a", "a", "/")), "b", "/") is Reason.ROUTE_NOT_FOUND


def test_another_spelling_of_a_path_does_not_slip_past_its_route():
    routing = made(("lax", "h", "/"), ("strict", "h", "/a:b/"))
    assert asked(routing, "h", "/a%3Ab/x") == "strict"
    routing = made(("lax", "h", "/"), ("strict", "h", "/a%3Ab/"))
    assert asked(routing, "h", "/a:b/x") == "strict"
