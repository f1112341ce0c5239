"""When a certificate ends.

Rules: one adapter for the library that reads X.509 (RFC 5280); whatever is wrong with a file is a UsageError that
names it.
"""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from fieldline_gateway.errors import UsageError


def end_ms(path: Path) -> int:
    """UTC in ms at which the first of the certificates in a PEM file ends; UsageError where there is none."""
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"{path} holds no certificate that can be read; give a PEM file") from None
    return min(int(each.not_valid_after_utc.timestamp() * 1000) for each in found)
