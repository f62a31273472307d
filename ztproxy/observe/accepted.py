"""Which of the two formats of metrics is asked for. Apart, because the library that writes them is slow to load."""

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def wants_openmetrics(accept: str) -> bool:
    """Whether an `Accept` field names OpenMetrics. Its parameters are not looked at: one version of each is written."""
    return any(part.split(";")[0].strip().lower() == "application/openmetrics-text" for part in accept.split(","))
