import pytest

from ztproxy.claim_path import claim_at, claim_named

CLAIMS = {
    "email": "a@x",
    "https://corp.example/roles": ["one"],
    "https://corp": {"example/roles": ["nested"]},
    "realm_access": {"roles": ["two"]},
    "nothing": None,
    "deep": {"er": {"": 1}},
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("email", "a@x"),
        ("https://corp.example/roles", ["one"]),
        ("realm_access.roles", ["two"]),
        ("realm_access", {"roles": ["two"]}),
        ("deep.er.", 1),
        ("email.x", None),
        ("nothing", None),
        ("nothing.x", None),
        ("", None),
        ("realm_access.roles.0", None),
    ],
)
def test_by_its_whole_name_else_by_its_dots(name, value):
    assert claim_named(CLAIMS, name) == value


def test_by_a_path_of_members():
    assert claim_at(CLAIMS, ("realm_access", "roles")) == ["two"]
    assert claim_at(CLAIMS, ("realm_access.roles",)) is None
    assert claim_at(CLAIMS, ("email", "x")) is None
