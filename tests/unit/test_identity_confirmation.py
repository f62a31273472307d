import pytest

from ztproxy.identity.confirmation import Confirmation, confirmation_of
from ztproxy.model import Reason

THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
HEX = "d1970e08e459358cbe0d6a6aab7d236722461d33747761e0941577ba282e0382"


def test_what_is_said_is_read():
    assert confirmation_of({}) == Confirmation()
    assert confirmation_of({"cnf": {"jkt": THUMBPRINT}}) == Confirmation(key=THUMBPRINT)
    assert confirmation_of({"cnf": {"x5t#S256": THUMBPRINT}}) == Confirmation(certificate=HEX)
    both = {"jkt": THUMBPRINT, "x5t#S256": THUMBPRINT}
    assert confirmation_of({"cnf": both}) == Confirmation(HEX, THUMBPRINT)


@pytest.mark.parametrize(
    "cnf", [None, {}, [], {"jkt": THUMBPRINT, "kid": "x"}, {"jkt": None}, {"jkt": THUMBPRINT + "="}, {"jkt": HEX}]
)
def test_what_cannot_be_checked_is_refused(cnf):
    assert confirmation_of({"cnf": cnf}).reason is Reason.TOKEN_BINDING_MISMATCH
