"""RSA keys that are no protection: too short, made for fast verification, or computable from their public part."""

from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

_BITS = range(2048, 8193)
"""Below it a key is weak, above it verifying is a way to keep us busy."""
_SMALLEST_EXPONENT = 65537
_PRIMES: Final = tuple(p for p in range(3, 168) if all(p % q for q in range(2, p)))
"""Those that are in the product that the library of CVE-2017-15361 used for keys of any size, but for 2."""


def _powers(prime: int) -> frozenset[int]:
    found, power = set(), 1
    while power not in found:
        found.add(power)
        power = power * _SMALLEST_EXPONENT % prime
    return frozenset(found)


_REMAINDERS: Final = {prime: _powers(prime) for prime in _PRIMES}


def is_computable(modulus: int) -> bool:
    """Whether the modulus is of the form that smart cards and TPMs made until 2017 (ROCA, CVE-2017-15361).

    Both of its primes, and so the modulus, are a power of 65537 modulo each of the small primes. One in 10^8 sound
    keys or fewer is taken for such a one.
    """
    return all(modulus % prime in remainders for prime, remainders in _REMAINDERS.items())


def is_weak(key: RSAPublicKey) -> bool:
    """Whether no signature by this key may count."""
    numbers = key.public_numbers()
    if key.key_size not in _BITS or not numbers.n & 1 or is_computable(numbers.n):
        return True
    return not numbers.e & 1 or not _SMALLEST_EXPONENT <= numbers.e < 2**32
