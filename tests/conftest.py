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

OF_MAVEN = ("keycloak/fetch.sh", "apt-get install maven")
"""What reasons to skip name that `.ci/run` could not have from Maven, which does not serve everything at all times."""
collect_ignore = [] if "X509_LIMBO" in os.environ else ["functional/test_x509_limbo.py"]
"""Judged where its file is there: it is in no registry that CI could ask."""

# Timing never decides a test, and the same commit is judged by the same examples.
hypothesis.settings.register_profile("ztproxy", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ztproxy")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or exitstatus != 0 or reporter is None:
        return
    skipped = [str(report.longrepr) for report in reporter.stats.get("skipped", [])]
    if "MAVEN_REFUSED" in os.environ:
        skipped = [reason for reason in skipped if not any(needed in reason for needed in OF_MAVEN)]
    if skipped:
        reporter.write_line("skipped tests are errors in CI", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Protocol code runs on both event loops: uvloop, and asyncio's own where there is no uvloop."""
    if item.path.name.startswith(BOTH_LOOPS):
        return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
