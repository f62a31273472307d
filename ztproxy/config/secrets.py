"""Reading a secret from where it stands."""

import os

from ztproxy.config.values import Secret


def read(secret: Secret) -> str:
    """The secret's text.

    Raises:
        LookupError: naming the environment variable that is not there.
        OSError: when its file cannot be read.
    """
    if secret.env is not None:
        value = os.environ.get(secret.env)
        if not value:
            raise LookupError(f"the environment has no {secret.env}")
        return value
    if secret.file is None:
        raise LookupError("a secret is either {env: NAME} or {file: PATH}")
    return secret.file.read_text().removesuffix("\n")
