"""Groups and roles out of an issuer's claims."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.issuer_server import World
from ztproxy.config.groups import Groups
from ztproxy.identity.sessions.session import Session, token_of
from ztproxy.identity.tokens.groups import MAXIMUM_GROUPS, GroupMapping, belonging

MAPPED = Groups.model_validate(
    {
        "map": {"CN=Ops,OU=Groups": "ops", "CN=SRE,OU=Groups": "sre", "CN=Site,OU=Groups": "sre"},
        "roles": {"admin": ["ops", "sre"], "operator": ["ops"]},
    }
)


def test_names_are_mapped_sorted_and_said_once():
    listed = ["CN=Site,OU=Groups", "CN=SRE,OU=Groups", "CN=Other"]
    assert belonging(listed, MAPPED) == (("sre",), ("admin",))
    assert belonging(["CN=Ops,OU=Groups"], MAPPED) == (("ops",), ("admin", "operator"))
    assert belonging([], MAPPED) == ((), ())


def test_a_group_that_is_called_as_one_of_ours_is_not_ours():
    """Whoever may make groups at the issuer makes no `ops` here."""
    assert belonging(["ops"], MAPPED) == ((), ())
    keeping = Groups.model_validate({**MAPPED.model_dump(), "unmapped": "keep"})
    assert belonging(["ops", "x"], keeping) == (("ops", "x"), ("admin", "operator"))


def test_without_a_map_all_are_kept():
    assert belonging(["b", "a", "b"], Groups(roles={"r": ("b",)})) == (("a", "b"), ("r",))


UNREADABLE = [
    "ops",
    {"ops": True},
    1,
    True,
    [["ops"]],
    [1],
    ["ops", None],
    [""],
    ["a\r\nX-Role: admin"],
    ["\ud800"],
    ["x" * 513],
    ["x"] * (MAXIMUM_GROUPS + 1),
]


@pytest.mark.parametrize("listed", UNREADABLE, ids=lambda value: repr(value)[:20])
def test_what_is_no_list_of_names_gives_no_groups(listed):
    assert belonging(listed, Groups()) is None
    mapping = GroupMapping("https://idp.test", Groups())
    assert mapping.of({"groups": listed}) == ((), ())
    assert mapping.unreadable == 1


def test_it_is_said_once_and_counted(caplog):
    mapping = GroupMapping("https://idp.test", Groups(claim=("realm_access", "roles")))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert mapping.of({"realm_access": {"roles": "admin"}}) == ((), ())
    assert mapping.unreadable == 3
    (line,) = caplog.records
    assert "tokens of https://idp.test: the claim realm_access.roles is no list" in line.message


def test_a_token_that_says_nothing_is_nothing_to_remark_upon(caplog):
    mapping = GroupMapping("https://idp.test", Groups(claim=("realm_access", "roles")))
    for claims in ({}, {"realm_access": "x"}, {"realm_access": {}}, {"realm_access": {"roles": None}}):
        assert mapping.of(claims) == ((), ())
    assert (mapping.unreadable, caplog.records) == (0, [])


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=8))
def test_whatever_is_listed_only_mapped_names_come_out(listed):
    groups, roles = GroupMapping("https://idp.test", MAPPED).of({"groups": listed})
    assert set(groups) <= {"ops", "sre"}
    assert set(roles) <= {"admin", "operator"}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"claim": []}, "names no claim"),
        ({"claim": ""}, "1 to 512 printable"),
        ({"map": {"a": "b\n"}}, "1 to 512 printable"),
        ({"roles": {"admin": []}}, "the role admin is given to no group"),
        ({"map": {"a": "ops"}, "roles": {"admin": ["opps"]}}, "the group opps, which `map` never gives"),
        ({"unmapped": "maybe"}, "drop"),
    ],
)
def test_a_section_that_can_mean_nothing_is_refused(section, message):
    with pytest.raises(ValidationError, match=message):
        Groups.model_validate(section)


async def test_a_verified_token_has_groups_and_roles(tmp_path):
    async with World(tmp_path) as world:
        issuer = await world.issuer()
        identity = await world.identity(
            [issuer], groups={"claim": ["realm_access", "roles"], "roles": {"r": ["staff"]}}
        )
        identified = await world.ask(identity, issuer.tokens.bearer(realm_access={"roles": ["staff"]}))
        assert (identified.token.groups, identified.token.roles) == (("staff",), ("r",))
        other = await world.ask(identity, issuer.tokens.bearer(realm_access={"roles": "staff"}))
        assert (other.token.groups, other.token.roles) == ((), ())


def test_a_session_has_the_groups_of_its_claims():
    session = Session(
        issuer="https://idp.test",
        client_id="web",
        subject="alice",
        claims={"groups": ["CN=Ops,OU=Groups", "ops"]},
        audience=("web",),
        host="app.test",
        route="app",
        created_at=0.0,
        used_at=0.0,
        ends_at=3600.0,
        id_token="x",
    )
    token = token_of(session, b"key", GroupMapping("https://idp.test", MAPPED))
    assert (token.groups, token.roles) == (("ops",), ("admin", "operator"))
    assert (token_of(session, b"key").groups, token_of(session, b"key").roles) == ((), ())
