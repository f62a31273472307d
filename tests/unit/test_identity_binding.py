from itertools import product

import pytest

from tests.raw_server import token
from ztproxy.identity.binding import is_met, joined

DEMANDS = ("none", "any", "certificate", "dpop", "both")


@pytest.mark.parametrize(("one", "other"), [*product(DEMANDS, DEMANDS)])
def test_joined_is_met_by_what_meets_both(one, other):
    for certificate, key in product((None, "x"), (None, "y")):
        bound = token(bound_to=certificate, bound_key=key)
        assert is_met(bound, joined(one, other)) is (is_met(bound, one) and is_met(bound, other))
