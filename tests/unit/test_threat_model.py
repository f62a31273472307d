"""Every row of docs/threat-model.md names tests, and they exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    line
    for line in (ROOT / "docs" / "threat-model.md").read_text().splitlines()
    if re.fullmatch(r"\| [A-Z]+\d+ \|.*", line)
]


def names(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=[row.split("|")[1].strip() for row in ROWS])
def test_a_threat_has_tests_that_exist(row):
    tests = re.findall(r"`(tests/[\w/.]+\.py)(?:::(\w+))?`", row)
    assert tests, "a row names its tests"
    for file, name in tests:
        assert (ROOT / file).is_file(), file
        assert not name or name in names(ROOT / file), f"{file}::{name}"


def test_ids_are_unique():
    ids = [row.split("|")[1].strip() for row in ROWS]
    assert len(ids) == len(set(ids)) > 50
