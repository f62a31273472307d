"""What the edge's limits may say."""

import pytest
from pydantic import ValidationError

from ztproxy.config.edge import Connections, Overload, Requests
from ztproxy.config.settings import Listener


def test_the_defaults_are_those_of_the_design():
    requests = Requests()
    assert (requests.head, requests.request_line, requests.fields) == (32 * 1024, 8 * 1024, 100)
    assert (requests.head_timeout, requests.maximum_body) == (10.0, None)


@pytest.mark.parametrize(
    ("section", "wrong"),
    [
        (Requests, {"request_line": "64KiB"}),
        (Requests, {"request_line": 1}),
        (Requests, {"head": 10}),
        (Requests, {"fields": 0}),
        (Requests, {"maximum_body": "lots"}),
        (Requests, {"max_body": "1KiB"}),
        (Connections, {"maximum": 0}),
        (Connections, {"per_source": 0}),
        (Connections, {"ipv6_prefix": 0}),
        (Connections, {"handshakes": 0}),
        (Connections, {"requests": 0}),
        (Overload, {"requests": 0}),
        (Overload, {"memory": "1KiB"}),
        (Overload, {"loop_lag": 3}),
        (Overload, {"retry_after": "100ms"}),
    ],
)
def test_limits_that_make_no_sense_are_refused(section, wrong):
    with pytest.raises(ValidationError):
        section.model_validate(wrong)


@pytest.mark.parametrize("listener", [{"trusted_proxies": []}, {"address": "unix:/p", "trusted_proxies": ["::1/128"]}])
def test_a_proxy_header_needs_somebody_who_may_send_it(listener):
    plain = {"address": "127.0.0.1:0", "protocol": "http", "proxy_protocol": True}
    with pytest.raises(ValidationError, match="`proxy_protocol` needs a TCP address"):
        Listener.model_validate(plain | listener)
    assert Listener.model_validate(plain | {"trusted_proxies": ["127.0.0.0/8"]}).proxy_protocol
