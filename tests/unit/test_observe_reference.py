"""docs/observability.md says what the code does."""

import re
from pathlib import Path

from ztproxy.observe.catalogue import CATALOGUE
from ztproxy.observe.reference import markdown

ROOT = Path(__file__).parents[2]


def test_the_document_is_the_one_that_the_code_makes():
    assert (ROOT / "docs" / "observability.md").read_text() == markdown() + "\n", "run `make docs`"


def test_every_series_has_its_row():
    rows = set(re.findall(r"^\| `(ztproxy_\w+)` \|", markdown(), re.MULTILINE))
    assert rows == set(CATALOGUE)


def test_every_series_that_a_document_or_a_rule_names_exists():
    suffixes = ("_bucket", "_sum", "_count")
    names = set(CATALOGUE)
    names |= {name + suffix for name, one in CATALOGUE.items() if one.kind == "histogram" for suffix in suffixes}
    for path in (
        ROOT / "docs" / "observability.md",
        ROOT / "deploy/prometheus/alerts.yml",
        ROOT / "deploy/grafana/ztproxy.json",
    ):
        named = set(re.findall(r"\bztproxy_[a-z_]+\b", path.read_text()))
        assert named
        assert named <= names, f"{path.name}: {named - names}"


def test_the_keys_of_the_status_are_told_with_what_they_hold():
    text = markdown()
    assert "| `problems` |" in text
    assert "| `not_after` |" in text
    assert "Each as in [server status](#server-status)." in text
    assert "### server status" in text
