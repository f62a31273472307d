"""What the operator sees of it: the access log and the decision log."""

from ztproxy.observe.access import AccessLog
from ztproxy.observe.causes import Causes
from ztproxy.observe.decisions import DecisionLog

__all__ = ["AccessLog", "Causes", "DecisionLog"]
