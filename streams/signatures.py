"""Signatures: the Ed25519 keys by which values are signed and sent in.

In        a private key's file; what is to be signed; a public key and a signature.
Out       keys in hex; signatures; whether one is good.
Promises  a key's file is made once, readable by its owner only; a private key is never shown.
"""

import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from rooms.push import Push
from rooms.refusal import CannotGoOn


class BadKeyFile(CannotGoOn):
    """A key's file cannot be made or used; the message says why."""


class SigningKey:
    """A private key, held and never shown."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @property
    def public_hex(self) -> str:
        """Return the public key, for an operator."""
        return self._key.public_key().public_bytes_raw().hex()

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message."""
        return self._key.sign(message)


def make_key(path: Path) -> SigningKey:
    """Make a key and write it to a file that is not there yet, as PKCS #8 in PEM.

    Raises:
        BadKeyFile: when the file is there already or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    written = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(written)
    except OSError as error:
        raise BadKeyFile(f"{path}: {error.strerror}; nothing was written") from None
    return SigningKey(key)


def read_key(path: Path) -> SigningKey:
    """Read a key's file.

    Raises:
        BadKeyFile: when there is none, or it is no unencrypted Ed25519 key.
    """
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise BadKeyFile(f"{path}: {error.strerror}") from None
    except (ValueError, TypeError):
        raise BadKeyFile(f"{path} holds no key in PEM without a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKeyFile(f"{path} holds a key of another kind: Ed25519 is needed")
    return SigningKey(key)


def signed_body(push: Push, key: SigningKey) -> dict[str, str | int]:
    """Return what is posted to the door of pushed values."""
    return {
        "feed": push.feed,
        "signer": push.signer,
        "value": push.value,
        "at": push.at,
        "sequence": push.sequence,
        "signature": key.sign(push.signed_text().encode()).hex(),
    }


def is_signed(public_hex: str, signature: bytes, message: bytes) -> bool:
    """Say whether the owner of a public key signed a message."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_hex)).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
