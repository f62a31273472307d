"""Which groups and roles an issuer's tokens give: names of one kind, whatever the issuer calls them."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from ztproxy.config.section import Section

MAXIMUM_GROUP = 512
"""Characters of a name."""


def _name(value: str) -> str:
    if not (0 < len(value) <= MAXIMUM_GROUP and value.isprintable()):
        raise ValueError(f"a group or role is a name of 1 to {MAXIMUM_GROUP} printable characters")
    return value


Name = Annotated[str, AfterValidator(_name)]


class Groups(Section):
    """What becomes of a claim that lists groups: `groups` and `roles`, for the policy and for upstreams."""

    claim: Name | tuple[Name, ...] = "groups"
    """The claim that lists them; as a list, the path to it: [realm_access, roles]. What is no list of names there
    gives no groups."""
    map: dict[Name, Name] = Field(default={}, max_length=4096)
    """From the issuer's names to ours."""
    unmapped: Literal["drop", "keep"] = "drop"
    """What becomes of names that `map` does not have: with `keep`, whoever may name a group at the issuer may name it
    as one of ours. Without a `map` all are kept."""
    roles: dict[Name, tuple[Name, ...]] = Field(default={}, max_length=1024)
    """By role, the groups (as mapped) that have it; one of them is enough."""

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if not self.path:
            raise ValueError("`claim` names no claim")
        if empty := sorted(role for role, groups in self.roles.items() if not groups):
            raise ValueError(f"the role {empty[0]} is given to no group")
        if self.map and self.unmapped == "drop":
            unknown = {group for groups in self.roles.values() for group in groups} - set(self.map.values())
            if unknown:
                raise ValueError(f"`roles` names the group {min(unknown)}, which `map` never gives")
        return self

    @property
    def path(self) -> tuple[str, ...]:
        """The members that lead to the claim."""
        return (self.claim,) if isinstance(self.claim, str) else self.claim
