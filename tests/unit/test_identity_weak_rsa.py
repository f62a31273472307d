"""Which RSA keys are no protection."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.roca import computable_key
from tests.tokens import private_key
from ztproxy.identity.certificates.weak_rsa import is_computable, is_weak

pytestmark = pytest.mark.slow


def numbers(bits=2048, e=65537, last=1):
    return rsa.RSAPublicNumbers(e, (1 << (bits - 1)) | last).public_key()


def test_a_sound_key_is_not_weak():
    assert not is_weak(private_key("RS256", "sound").public_key())
    assert not is_computable(private_key("RS256", "sound", 3072).public_key().public_numbers().n)


def test_a_key_that_can_be_computed_from_its_public_part():
    public = computable_key().public_key()
    assert public.key_size == 2048
    assert is_computable(public.public_numbers().n)
    assert is_weak(public)


def test_a_near_miss_is_no_such_key():
    modulus = computable_key().public_key().public_numbers().n
    assert not any(is_computable(modulus + step) for step in range(2, 2000, 2))


@pytest.mark.parametrize(("bits", "e"), [(1024, 65537), (2047, 65537), (8193, 65537), (2048, 3), (2048, 2**32 + 1)])
def test_sizes_and_exponents(bits, e):
    assert is_weak(numbers(bits, e))
