"""What is kept of those who have logged in, where, and for how long."""

from ztproxy.config.section import Section
from ztproxy.config.values import Duration


class Sessions(Section):
    """Browsers' sessions."""

    storage: str = "memory://"
    """memory:// (this process alone), a file as sqlite:path (the workers of a machine, over restarts), or
    redis://HOST:PORT/DB (machines)."""
    idle: Duration = 3600.0
    """A session that is not used for so long is over."""
    lifetime: Duration = 43200.0
    """A session is over after so long, however much it is used."""
