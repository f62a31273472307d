"""Causes of failed handshakes, in OpenSSL's words and our own, become few words."""

import pytest

from ztproxy.observe.handshakes import OTHER, OUTCOMES, outcome_of


@pytest.mark.parametrize(
    ("cause", "outcome"),
    [
        ("the handshake took too long", "timed-out"),
        ("the client closed the connection during the handshake", "client-gone"),
        ("the connection was lost during the handshake", "client-gone"),
        ("the client resumed a session where client certificates are asked for", "resumed"),
        ("peer did not return a certificate", "certificate-missing"),
        ("certificate verify failed: certificate has expired", "certificate-expired"),
        ("certificate verify failed: certificate is not yet valid", "certificate-expired"),
        ("certificate verify failed: unable to get local issuer certificate", "certificate-untrusted"),
        ("certificate verify failed: self-signed certificate in certificate chain", "certificate-untrusted"),
        ("certificate verify failed: CA cert does not include key usage extension", "certificate-unfit"),
        ("tlsv1 alert unknown ca", "refused-by-client"),
        ("unsupported protocol", "no-common-ground"),
        ("no shared cipher", "no-common-ground"),
        ("http request", "not-tls"),
        ("no PROXY header in time", "proxy-header"),
        ("the connection ended within the PROXY header", "proxy-header"),
        ("the PROXY protocol is spoken here, and this peer is not in `trusted_proxies`", "proxy-header"),
        ("something that OpenSSL will say one day", OTHER),
        ("", OTHER),
    ],
)
def test_a_cause_has_an_outcome(cause, outcome):
    assert outcome_of(cause) == outcome
    assert outcome in OUTCOMES
