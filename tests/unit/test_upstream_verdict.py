"""What active checks say: the first counts at once, then it takes several in a row."""

import pytest

from ztproxy.config.upstreams import Health
from ztproxy.upstream.verdict import Verdict


def verdict() -> Verdict:
    return Verdict(Health(path="/", healthy=2, unhealthy=3))


def test_fit_until_the_first_check():
    assert verdict().fit


@pytest.mark.parametrize(
    ("results", "fit"),
    [
        ("-", "-"),
        ("+", "+"),
        ("+--", "+++"),
        ("+---", "+++-"),
        ("+--+--", "++++++"),
        ("-+", "--"),
        ("-++", "--+"),
        ("-+-++", "----+"),
        ("+---++---", "+++--+++-"),
    ],
)
def test_results_and_what_they_say(results, fit):
    one = verdict()
    said = ""
    for result in results:
        before = one.fit
        assert one.take(good=result == "+") == (before != one.fit)
        said += "+" if one.fit else "-"
    assert said == fit
    assert one.checks == len(results)
