from pathlib import Path

from ztproxy.model import Reason
from ztproxy.observe.reasons import REMEDIES, markdown


def test_every_reason_has_its_remedy():
    assert set(REMEDIES) == set(Reason)


def test_the_table_is_true():
    assert f"{markdown()}\n" == Path("docs/troubleshooting.md").read_text(), "run `make docs`"


def test_words_are_unique_and_statuses_are_errors():
    assert len({reason.word for reason in Reason}) == len(Reason)
    assert all(400 <= reason.status < 600 for reason in Reason)
