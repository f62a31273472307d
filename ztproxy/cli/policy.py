"""`ztproxy policy check|test|eval|deps`: what a policy says, found out without serving it."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ztproxy.cli import policy_deps, policy_eval
from ztproxy.cli.common import DONE, FOUND, CannotRunError
from ztproxy.cli.policy_meant import ask, meant, say_errors

_TESTED = {"pass": "PASS", "fail": "FAIL", "error": "ERROR", "skip": "SKIP"}


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's."""
    text = "check, test and try a policy, without serving it"
    parser = commands.add_parser("policy", help="check, test and try a policy", description=text)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    action = _action(actions, "check", "compile a policy as strictly as serving does, and say what is wrong and where")
    action.set_defaults(run=check)

    action = _action(actions, "test", "run the tests in *_test.rego; show what failed and where, and the coverage")
    action.add_argument("--filter", default="", metavar="REGEX", help="only tests whose name matches")
    action.add_argument("--threshold", type=float, metavar="PERCENT", help="fail when less of the rules is covered")
    action.set_defaults(run=test)

    action = _action(actions, "eval", "decide about one input document, and say how the proxy would read the answer")
    action.epilog = (
        "Exit codes: 0 the proxy would let the request pass, 1 it would refuse it, 2 could not be evaluated."
    )
    policy_eval.declare(action)

    action = _action(actions, "deps", "what a policy reads, and whether and why not its decisions can be remembered")
    policy_deps.declare(action)


def _action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str
) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=text, description=text)
    action.add_argument("--policy", type=Path, metavar="DIR", help="policy directory; default: the configuration's")
    action.add_argument("--config", type=Path, metavar="FILE", help="default: $ZTPROXY_CONFIG, else ztproxy.yaml")
    action.add_argument("--json", action="store_true", help="as JSON")
    return action


def check(arguments: argparse.Namespace) -> int:
    """Compile strictly, tests included."""
    policy = meant(arguments)
    answer = ask(policy.request("check"))
    if arguments.json:
        print(json.dumps({"directory": str(policy.directory), **answer}, indent=2))
    else:
        say_errors(answer["errors"], policy.directory)
        if not answer["errors"]:
            print(f"{policy.directory}: in order; {len(answer['files'])} files, entrypoint {policy.entrypoint}")
    return FOUND if answer["errors"] else DONE


def test(arguments: argparse.Namespace) -> int:
    """Run the policy's own tests. A policy without any has not passed."""
    policy = meant(arguments)
    report = ask(policy.request("test", filter=arguments.filter))
    for error in report["errors"]:
        if arguments.filter and not error["file"] and error["message"].startswith("error parsing regexp"):
            raise CannotRunError(f"ztproxy policy test: --filter: {error['message']}")
    if arguments.json:
        print(json.dumps({"directory": str(policy.directory), **report}, indent=2))
    if report["errors"]:
        if not arguments.json:
            say_errors(report["errors"], policy.directory)
        return FOUND
    wrong = []
    if report["failed"]:
        wrong.append(f"{report['failed']} failed")
    if not report["passed"]:
        wrong.append("no test passed" if report["tests"] else "there are no tests")
    if arguments.threshold is not None and report["percent"] < arguments.threshold:
        wrong.append(f"coverage is below {arguments.threshold:g} %")
    if not arguments.json:
        _print_tests(report, policy.directory)
        _print_coverage(report)
        counted = f"{report['passed']} passed, {report['failed']} failed, {report['skipped']} skipped"
        print(f"\n{counted}; {report['percent']:.1f} % of the rules covered")
        if wrong:
            print(f"{policy.directory}: {', '.join(wrong)}", file=sys.stderr)
    return FOUND if wrong else DONE


def _print_tests(report: dict[str, Any], directory: Path) -> None:
    for one in report["tests"]:
        if one["outcome"] == "pass":
            continue
        print(f"{_TESTED[one['outcome']]} {directory / one['file']}:{one['row']}: {one['package']}.{one['name']}")
        if one.get("message"):
            print(f"  {one['message']}")
        for case in one.get("failed_cases", ()):
            print(f"  case {case}")
        if at := one.get("failed_at"):
            print(f"  not true: {_place(at, directory)}: {_one_line(at['text'])}")
        for at in one.get("causes", ()):
            print(f"  because {at['rule']} was not: {_place(at, directory)}: {_one_line(at['text'])}")
        for line in one.get("output", "").splitlines():
            print(f"  | {line}")


def _place(at: dict[str, Any], directory: Path) -> str:
    return f"{directory / at['file']}:{at['row']}:{at['col']}"


def _one_line(text: str) -> str:
    first, *rest = text.splitlines() or [""]
    return f"{first} ..." if rest else first


def _print_coverage(report: dict[str, Any]) -> None:
    width = max((len(one["file"]) for one in report["coverage"]), default=4)
    print(f"{'file':{width}}  covered  lines without a test")
    for one in report["coverage"]:
        lines = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in one["uncovered"])
        print(f"{one['file']:{width}}  {one['percent']:5.1f} %  {lines}".rstrip())
