"""When a certificate ends.

Rules: one adapter for the library that reads X.509 (RFC 5280); whatever is wrong with a file is a UsageError that
names it.
"""

from __future__ import annotations

from pathlib import Path

from fieldline_gateway.errors import UsageError

MOST = 20
"""A file with more is a system's bundle of CAs, of which some always end."""


def end_ms(path: Path) -> int | None:
    """UTC in ms at which the first of the certificates in a PEM file ends, None for a bundle.

    UsageError where there is none that can be read.
    """
    from cryptography import x509  # a site without TLS needs it not, and its start is shorter

    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"{path} holds no certificate that can be read; give a PEM file") from None
    if len(found) > MOST:
        return None
    return min(int(each.not_valid_after_utc.timestamp() * 1000) for each in found)
