"""Holds the table of who may import whom (DESIGN §2), read from the source."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "ztproxy"
STAGES = {"edge", "routing", "identity", "limits", "policy", "upstream", "observe"}
ANYTHING = {"serve", "generation", "check", "parts", "summary", "workers", "admin", "cli", "demo", "__main__"}


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "ztproxy" else [f"ztproxy.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: imports are absolute"
        found |= {name.split(".")[1] for name in names if name.startswith("ztproxy.")}
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_its_folder_may(path):
    own = part(path)
    if own in ANYTHING or own == "__init__":
        return
    allowed = {own, "model"}
    if own in {"claim_path", "exchange", "page", "turn"}:
        allowed = {"model"}
    elif own == "model":
        allowed = set()
    elif own == "store":
        allowed = {own}
    elif own == "spiffe":
        allowed |= {"config"}
    elif own in STAGES:
        allowed |= {"claim_path", "config", "exchange", "page", "spiffe", "store", "turn"}
    assert imported(path) <= allowed, f"{own} may import {sorted(allowed)}"


def test_the_pipeline_reads_at_a_glance():
    assert len((PACKAGE / "pipeline.py").read_text().splitlines()) < 100
