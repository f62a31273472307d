"""Writes the policy directories of a run: the same rules, roles and revocations for each input document."""

import json
import pathlib
import shutil

ROLES = 50
REVOCATIONS = 1000
SOURCES = pathlib.Path(__file__).parent / "policies"


def _data() -> dict[str, object]:
    roles = {
        f"role-{number}": [
            {"path": ["api", f"service-{number}"], "methods": ["GET", "HEAD", "POST"]},
            {"path": ["api", "items" if number % 4 == 3 else f"reports-{number}"], "methods": ["GET", "HEAD"]},  # noqa: PLR2004 - every fourth role reads the items
        ]
        for number in range(ROLES)
    }
    return {"roles": roles, "revoked": {f"revoked-{number}": True for number in range(REVOCATIONS)}}


def write_policies(folder: pathlib.Path) -> None:
    """Write `FOLDER/{ztproxy,envoy,forward}`, each a policy directory."""
    for kind in ("ztproxy", "envoy"):
        (folder / kind).mkdir(parents=True)
        shutil.copy(SOURCES / "rules.rego", folder / kind / "rules.rego")
        shutil.copy(SOURCES / "inputs" / f"{kind}.rego", folder / kind / "input.rego")
        (folder / kind / "data.json").write_text(json.dumps(_data()))
    (folder / "forward").mkdir()
    shutil.copy(SOURCES / "forward.rego", folder / "forward" / "policy.rego")
