"""x509-limbo's own cases for client certificates: `X509_LIMBO=limbo.json pytest tests/functional/test_x509_limbo.py`.

The file (C2SP/x509-limbo) is in no package registry, so nothing runs where the variable does not name it (conftest.py);
tests/attacks/test_chain_rules.py has cases of the same classes, and NIST's PKITS judges everywhere.
"""

import json
import os
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.handshake import Judge


def cases():
    """Those that a server judges now: not those of another time, for the clock is OpenSSL's own."""
    found = json.loads(Path(os.environ["X509_LIMBO"]).read_text())["testcases"]
    return [case for case in found if case["validation_kind"] == "CLIENT" and case["validation_time"] is None]


@pytest.mark.parametrize("case", cases(), ids=lambda case: case["id"])
def test_client_certificates(tmp_path, case):
    def read(pems):
        return [x509.load_pem_x509_certificate(pem.encode()) for pem in pems]

    judge = Judge(tmp_path, read(case["trusted_certs"]), time.time())
    shown = read([case["peer_certificate"], *case["untrusted_intermediates"]])
    verdict = judge(shown, load_pem_private_key(case["peer_certificate_key"].encode(), None))
    assert isinstance(verdict, str) == (case["expected_result"] == "FAILURE"), verdict
