"""What holds for all tests: in CI nothing may skip, because what is absent there is tested nowhere."""

import os

import pytest


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and exitstatus == 0 and reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line("skipped tests are errors in CI", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
