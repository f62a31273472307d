"""An RSA key as the library of CVE-2017-15361 made them: each prime is a power of 65537 modulo many small primes."""

import functools
import math
import random

from cryptography.hazmat.primitives.asymmetric import rsa

_PRIMORIAL = math.prod(p for p in range(2, 702) if all(p % q for q in range(2, p)))
"""The product of the first 126 primes, as for keys of 2048 bits."""
_EXPONENT = 65537


def _prime(chance: random.Random) -> int:
    low = 3 << 1022
    while True:
        base = pow(_EXPONENT, chance.getrandbits(64), _PRIMORIAL)
        candidate = (low // _PRIMORIAL + chance.getrandbits(40)) * _PRIMORIAL + base
        if candidate.bit_length() == 1024 and pow(2, candidate - 1, candidate) == 1:
            return candidate


@functools.cache
def computable_key() -> rsa.RSAPrivateKey:
    """A key of 2048 bits, always the same."""
    chance = random.Random(2017)
    p, q = _prime(chance), _prime(chance)
    d = pow(_EXPONENT, -1, math.lcm(p - 1, q - 1))
    return rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q),
        rsa.RSAPublicNumbers(_EXPONENT, p * q),
    ).private_key()  # fmt: skip
