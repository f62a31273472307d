"""What the operator sees of it: the access log, the decision log, and the metrics."""

from ztproxy.observe.access import AccessLog
from ztproxy.observe.causes import Causes
from ztproxy.observe.decisions import DecisionLog
from ztproxy.observe.metrics import Metrics

__all__ = ["AccessLog", "Causes", "DecisionLog", "Metrics"]
