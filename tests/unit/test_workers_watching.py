import hashlib
import os

import pytest

from ztproxy.workers.plan import Source, read
from ztproxy.workers.watching import Watch

CONFIGURATION = """\
version: 1
listeners: [{address: '127.0.0.1:0', protocol: http}]
policy: {path: policies}
issuers: [{issuer: 'https://a.example', audiences: [a], authorities: [ca.pem]}]
routes: [{name: a, hosts: ["*"], require: [], upstream: {servers: ["http://127.0.0.1:1"]}}]
"""


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "authz.rego").write_text("package ztproxy.authz\n")
    (tmp_path / "ca.pem").write_text("one")
    (tmp_path / "z.yaml").write_text(CONFIGURATION)
    return read(Source(tmp_path / "z.yaml"), 1)


@pytest.fixture
def watch(plan):
    made = Watch()
    made.take(plan)
    return made


def test_what_changed_counts_once_it_is_at_rest_and_once_only(plan, watch, tmp_path):
    assert watch.look(plan) is None
    (tmp_path / "ca.pem").write_text("two, half")
    assert watch.look(plan) is None
    (tmp_path / "ca.pem").write_text("two, all of it")
    assert watch.look(plan) is None
    assert watch.look(plan) == "files"
    watch.take(plan)
    assert watch.look(plan) is None


def test_a_swapped_link_is_a_change(plan, watch, tmp_path):
    (tmp_path / "new.pem").write_text("one")
    os.replace(tmp_path / "new.pem", tmp_path / "ca.pem")  # noqa: PTH105
    watch.look(plan)
    assert watch.look(plan) == "files"


def test_a_policys_files_are_not_watched_but_its_manifest_is(plan, watch, tmp_path):
    (tmp_path / "policies" / "authz.rego").write_text("package ztproxy.authz\n\ndecision := true\n")
    watch.look(plan)
    assert watch.look(plan) is None
    digest = hashlib.sha256((tmp_path / "policies" / "authz.rego").read_bytes()).hexdigest()
    (tmp_path / "policies" / "SHA256SUMS").write_text(f"{digest}  authz.rego\n")
    watch.look(plan)
    assert watch.look(plan) == "policy"


def test_what_changes_while_a_reload_reads_is_still_to_be_taken_up(plan, watch, tmp_path):
    watch.take(plan)
    (tmp_path / "ca.pem").write_text("two")
    watch.keep(plan)
    assert watch.look(plan) == "files"
