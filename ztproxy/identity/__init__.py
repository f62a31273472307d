"""Who asks: certificates, revocation, tokens and the keys of issuers."""

from ztproxy.identity.certificates.description import describe
from ztproxy.identity.errors import IdentityConfigError
from ztproxy.identity.issuers.kept import Clock
from ztproxy.identity.stage import Identity

__all__ = ["Clock", "Identity", "IdentityConfigError", "describe"]
