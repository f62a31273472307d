"""What is HTTP/1.1's own stays among itself, so that HTTP/2 can stand beside it."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "ztproxy"
OWN = {"http1", "requests", "exchange", "answering", "response"}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_nothing_else_imports_what_is_http_1_1s_own():
    own = {f"ztproxy.edge.{name}" for name in OWN}
    users = {
        str(path.relative_to(PACKAGE)): used
        for path in PACKAGE.rglob("*.py")
        if not (path.parent.name == "edge" and path.stem in OWN) and (used := imports(path) & own)
    }
    assert set(users) == {"serve.py"}
    assert users["serve.py"] == {"ztproxy.edge.http1"}


def test_llhttp_is_known_to_one_module_of_the_edge():
    assert [path.name for path in (PACKAGE / "edge").glob("*.py") if "httptools" in imports(path)] == ["requests.py"]
