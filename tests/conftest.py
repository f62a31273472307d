"""What holds for all tests: in CI nothing may skip, because what is absent there is tested nowhere."""

import asyncio
import os
from collections.abc import Callable

import hypothesis
import pytest
import uvloop

BOTH_LOOPS = (
    "test_upstream_", "test_edge_wire", "test_edge_tls", "test_edge_listener", "test_tls_", "test_proxy_protocol",
    "test_connection_floods", "test_slow_clients", "test_half_closed",
)  # fmt: skip
"""Files whose tests run on both event loops."""

collect_ignore = [] if "X509_LIMBO" in os.environ else ["functional/test_x509_limbo.py"]
"""Judged where its file is there: it is in no registry that CI could ask."""

# Timing never decides a test, and the same commit is judged by the same examples.
hypothesis.settings.register_profile("ztproxy", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ztproxy")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and exitstatus == 0 and reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line("skipped tests are errors in CI", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Protocol code runs on both event loops: uvloop, and asyncio's own where there is no uvloop."""
    if item.path.name.startswith(BOTH_LOOPS):
        return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
