"""Serving to a phone in the same network: an address, a certificate, a QR code.

A browser gives its camera only to pages that come over HTTPS (or from this computer itself), so a
certificate is made, good for this run. The phone does not know who signed it and asks once.
"""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pocketlens.errors import OptionError

__all__ = ["address", "certificate", "qr_code"]

GOOD_FOR = timedelta(days=30)
"""Apple's systems refuse certificates that are good for more than 825 days."""


def address() -> str:
    """This computer's IPv4 address in its network.

    Raises:
        OptionError: It is in none.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: the system only says which of its addresses it would send from. The
            # other address is one kept for documentation (RFC 5737).
            probe.connect(("192.0.2.1", 9))
            found: str = probe.getsockname()[0]
        except OSError as error:
            raise OptionError(
                f"this computer is in no network ({error}); leave out --lan"
            ) from error
    return found


def certificate(host: str, folder: Path) -> tuple[Path, Path]:
    """Write a new certificate for `host` and its key into `folder`; their paths."""
    import trustme

    authority = trustme.CA(organization_name="Pocketlens preview, for this run only")
    now = datetime.now(UTC)
    # From yesterday on: the phone's clock may be behind.
    issued = authority.issue_cert(
        host, not_before=now - timedelta(days=1), not_after=now + GOOD_FOR
    )
    chain, key = folder / "certificate.pem", folder / "key.pem"
    for blob in issued.cert_chain_pems:
        blob.write_to_path(str(chain), append=True)
    key.touch(0o600)
    issued.private_key_pem.write_to_path(str(key))
    return chain, key


def qr_code(text: str) -> str:
    """`text` as a QR code of block characters, for a terminal."""
    import io

    import segno

    drawn = io.StringIO()
    segno.make(text, error="m").terminal(drawn, compact=True)
    return drawn.getvalue()
