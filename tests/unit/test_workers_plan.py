from ztproxy.workers.plan import Source, fixed, read, unkept

CONFIGURATION = """\
version: 1
workers: 2
listeners: [{address: '127.0.0.1:0', protocol: http}]
policy: {path: policies}
routes: [{name: a, hosts: ["*"], require: [], upstream: {servers: ["http://127.0.0.1:1"]}}]
"""


def planned(folder, text, **source):
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "z.yaml").write_text(text)
    return read(Source(folder / "z.yaml", **source), 1)


def test_workers_are_told_what_was_read_and_not_where_to_read_it(tmp_path):
    plan = planned(tmp_path, CONFIGURATION, policy=tmp_path / "policies")
    order = plan.order("read")
    assert (order.text, order.workers, order.policy) == (CONFIGURATION, 2, str(tmp_path / "policies"))
    assert (order.keep_policy, order.by_manifest) == (False, False)
    assert plan.order("kept").keep_policy
    assert plan.order("by-manifest").by_manifest


def test_the_command_line_has_the_last_word_on_workers(tmp_path):
    assert planned(tmp_path, CONFIGURATION, workers=3).workers == 3
    assert planned(tmp_path, CONFIGURATION, workers="auto").workers >= 1


def test_what_only_a_restart_can_change_is_named_with_its_line(tmp_path):
    before = planned(tmp_path, CONFIGURATION)
    after = planned(tmp_path, CONFIGURATION.replace("workers: 2", "workers: 3\nhealth: {address: '127.0.0.1:0'}"))
    assert [str(problem).partition(": ")[2] for problem in fixed(before, after)] == [
        "`workers`: a reload cannot change it; restart the proxy",
        "`health`: a reload cannot change it; restart the proxy",
    ]
    assert str(next(fixed(before, after))).startswith(f"{tmp_path / 'z.yaml'}:2:1: ")
    assert list(fixed(before, before)) == []


def test_a_policy_that_moved_cannot_be_kept(tmp_path):
    before = planned(tmp_path, CONFIGURATION)
    after = planned(tmp_path, CONFIGURATION.replace("{path: policies}", "{path: policies, deadline: 1s}"))
    (problem,) = unkept(before, after)
    assert ":4:1: `policy`: changed" in str(problem)
    assert list(unkept(before, before)) == []
