"""Serving the page to a phone on the local network: address, certificate, QR code.

Browsers allow the camera only on pages that come over HTTPS, or from the same computer. Therefore a
new certificate is created for each run. The phone does not know its issuer and asks the user once.
"""

from __future__ import annotations

import io
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pocketlens.errors import OptionError

__all__ = ["create_certificate", "local_address", "qr_code"]

VALIDITY = timedelta(days=30)
"""How long a certificate is valid. Apple rejects certificates of more than 825 days."""

DOCUMENTATION_ADDRESS = "192.0.2.1"
"""An address that is reserved for documentation (RFC 5737)."""


def local_address() -> str:
    """This computer's IPv4 address on its network.

    Raises:
        OptionError: This computer is not on a network.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # A UDP socket sends nothing here: the system only selects the address to send from.
            probe.connect((DOCUMENTATION_ADDRESS, 9))
            address: str = probe.getsockname()[0]
        except OSError as error:
            raise OptionError(
                f"this computer is not on a network ({error}); run the command without --lan"
            ) from error
    return address


def create_certificate(host: str, folder: Path) -> tuple[Path, Path]:
    """Write a new certificate for `host` and its private key into `folder`.

    Returns:
        The paths of the certificate chain and of the key, both PEM files.
    """
    import trustme

    authority = trustme.CA(organization_name="Pocketlens preview, for this run only")
    now = datetime.now(UTC)
    # Valid from yesterday, because the phone's clock may be slow.
    issued = authority.issue_cert(
        host, not_before=now - timedelta(days=1), not_after=now + VALIDITY
    )
    chain, key = folder / "certificate.pem", folder / "key.pem"
    for blob in issued.cert_chain_pems:
        blob.write_to_path(str(chain), append=True)
    key.touch(0o600)
    issued.private_key_pem.write_to_path(str(key))
    return chain, key


def qr_code(text: str) -> str:
    """`text` as a QR code of block characters, for a terminal."""
    import segno

    output = io.StringIO()
    segno.make(text, error="m").terminal(output, compact=True)
    return output.getvalue()
