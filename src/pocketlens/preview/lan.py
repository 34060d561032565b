"""Serving the page to a phone on the local network: address and certificate.

Browsers allow the camera only on pages that come over HTTPS, or from the same computer. Therefore a
new certificate is created for each run. The phone does not know its issuer and asks the user once.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pocketlens.errors import OptionError
from pocketlens.files import write_aside

__all__ = ["create_certificate", "local_address"]

VALIDITY = timedelta(days=7)
"""How long a certificate is valid. Each run creates a new one."""

KEY_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
    "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip

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
    """Write a new certificate for the address `host` and its private key into `folder`.

    The certificate is signed with its own key. It is valid for `host` and for this computer's name,
    only for a server, and cannot sign other certificates.

    Returns:
        The paths of the certificate and of the key, both PEM files.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Pocketlens preview"),
            x509.NameAttribute(NameOID.COMMON_NAME, host),
        ]
    )
    names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(host))]
    names += [x509.DNSName(name) for name in _computer_names()]
    now = datetime.now(UTC)
    usage = dict.fromkeys(KEY_USAGES, False) | {"digital_signature": True}
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # because the phone's clock may be slow
        .not_valid_after(now + VALIDITY)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    certificate, secret = folder / "certificate.pem", folder / "key.pem"
    write_aside(certificate, builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_aside(secret, pem, private=True)
    return certificate, secret


def _computer_names() -> list[str]:
    """The names under which the local network may know this computer."""
    name = socket.gethostname().partition(".")[0].lower()
    return (
        [name, f"{name}.local"] if re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name) else []
    )
