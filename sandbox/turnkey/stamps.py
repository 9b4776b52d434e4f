"""Stamps: whose key signed this very body?

In        the X-Stamp header and the body's bytes.
Out       the public key, after its P-256 signature over the bytes was checked.
"""

import base64
import binascii
import json
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sandbox.turnkey.refusals import unauthenticated

SCHEME: Final = "SIGNATURE_SCHEME_TK_API_P256"
INVALID: Final = "SIGNATURE_INVALID"


def api_key(number: int) -> tuple[str, str]:
    """Give the key pair of a number, in hex; the public half compressed."""
    public = ec.derive_private_key(number, ec.SECP256R1()).public_key()
    return public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint).hex(), f"{number:064x}"


def stamped_by(header: str | None, body: bytes) -> str:
    """Return the public key, in hex, that stamped a body.

    Raises:
        Refusal: when there is no stamp, or it is not over these bytes.
    """
    if not header:
        raise unauthenticated("no stamp", INVALID)
    if "=" in header:
        raise unauthenticated("a stamp is base64url without padding", INVALID)
    try:
        text = base64.urlsafe_b64decode(header + "=" * (-len(header) % 4))
        stamp = json.loads(text)
        public, signature = stamp["publicKey"], bytes.fromhex(stamp["signature"])
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes.fromhex(public))
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise unauthenticated("could not read the stamp", INVALID) from None
    if stamp.get("scheme") != SCHEME:
        raise unauthenticated("unknown scheme", INVALID)
    try:
        key.verify(signature, body, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise unauthenticated("could not verify api key signature", INVALID) from None
    return str(public)
