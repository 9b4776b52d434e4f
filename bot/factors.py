"""Factors: a PIN and an authenticator's codes, checked without ever being kept.

In        digits that a person typed, sealed the moment they came in; a key that only the bot has.
Out       the PIN's hash; whether a PIN, or a code, is the right one; the picture for a new phone.
Promises  what is stored of a PIN is of no use without the key; a secret of an authenticator is made
          from the key each time and is stored nowhere; a code counts once.
Why       six digits are guessed in a minute by whoever holds their plain hash.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final

import pyotp
import segno
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from rooms.units import UnixMs

PIN_DIGITS: Final = 6
KEY_LETTERS_MIN: Final = 32
ISSUER: Final = "ROOMS"
STEP_MS: Final = 30_000
STEPS_AROUND: Final = 1
SECRET_BYTES: Final = 20
PIXELS: Final = 6


@dataclass(frozen=True, slots=True)
class Sealed:
    """Words that may be a PIN or a code: nobody can read them, but they can be compared.

    Attributes:
        digest: of the words, with the key and the person in it.
        digits: how many digits they were; 0 when they were anything else.
    """

    digest: str
    digits: int


@dataclass(frozen=True, slots=True)
class Factors:
    """Seal, hash and compare with one key."""

    key: str = field(repr=False)
    hasher: PasswordHasher = field(default_factory=PasswordHasher)

    def seal(self, user: int, words: str) -> Sealed:
        """Seal what a person typed."""
        plain = "".join(words.split())
        digits = len(plain) if plain.isascii() and plain.isdigit() else 0
        return Sealed(self._mac(f"typed:{user}:{plain}").hex(), digits)

    def pin_hash(self, sealed: Sealed) -> str:
        """Hash a PIN for keeping; takes tens of milliseconds, on purpose."""
        return self.hasher.hash(sealed.digest)

    def is_pin(self, pin_hash: str, sealed: Sealed) -> bool:
        """Say whether these are the digits that the hash was made of; as slow."""
        try:
            return self.hasher.verify(pin_hash, sealed.digest)
        except VerifyMismatchError:
            return False

    def is_weak(self, user: int, sealed: Sealed) -> bool:
        """Say whether a PIN is one that everybody tries first."""
        return any(self._same(user, pin, sealed) for pin in _weak_pins())

    def step_of_code(
        self, user: int, authenticator: str, sealed: Sealed, now: UnixMs, *, after: int = 0
    ) -> int | None:
        """Say of which half minute a code is, when that is about now and later than ``after``."""
        here = now // STEP_MS
        for step in range(max(after + 1, here - STEPS_AROUND), here + STEPS_AROUND + 1):
            if self._same(user, self._totp(user, authenticator).generate_otp(step), sealed):
                return step
        return None

    def secret(self, user: int, authenticator: str) -> str:
        """Make the secret of an authenticator, as a person types it into one."""
        mac = self._mac(f"authenticator:{user}:{authenticator}")
        return base64.b32encode(mac[:SECRET_BYTES]).decode()

    def picture(self, user: int, authenticator: str) -> bytes:
        """Draw the secret for a phone's camera: a QR code, as PNG."""
        address = self._totp(user, authenticator).provisioning_uri(
            name=str(user), issuer_name=ISSUER
        )
        drawn = BytesIO()
        segno.make(address, error="m").save(drawn, kind="png", scale=PIXELS)
        return drawn.getvalue()

    def _totp(self, user: int, authenticator: str) -> pyotp.TOTP:
        return pyotp.TOTP(self.secret(user, authenticator))

    def _same(self, user: int, words: str, sealed: Sealed) -> bool:
        return hmac.compare_digest(self.seal(user, words).digest, sealed.digest)

    def _mac(self, words: str) -> bytes:
        return hmac.digest(self.key.encode(), words.encode(), hashlib.sha256)


def _weak_pins() -> Iterator[str]:
    for digit in range(10):
        yield f"{digit}" * PIN_DIGITS
        run = "".join(str((digit + step) % 10) for step in range(PIN_DIGITS))
        yield run
        yield run[::-1]
    yield from ("112233", "121212", "123123", "123321", "101010", "131313", "696969")
