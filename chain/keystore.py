"""Keystore: every private key we hold, in one encrypted file that only custody opens.

In        a passphrase, and randomness once, when the file is made.
Out       addresses and signatures (it is a `Signer`).
Holds     three seeds: users, vaults, operator; everything else is derived from them.
Promises  made once and never replaced; 0600; nothing of it is exported, printed or pickled.
Why       an envelope: Argon2id turns the passphrase into a key that wraps a random data key, and
          AES-256-GCM under the data key holds the seeds. The header is authenticated with both,
          so a changed parameter, salt or version opens nothing.
"""

import base64
import binascii
import hashlib
import os
import stat
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import msgspec
from argon2.exceptions import Argon2Error
from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from solders.keypair import Keypair

from chain.signer import KeyPath, Wallet
from chain.slip10 import derive
from rooms.refusal import CannotGoOn
from rooms.units import Address

PASSPHRASE_LETTERS_MIN = 8
FILE_BYTES_MAX = 16_384
SEED_BYTES = 32
KEY_BYTES = 32
NONCE_BYTES = 12
SALT_BYTES = 16
ADDRESSES_KEPT_MAX = 100_000

RandomBytes = Callable[[int], bytes]


class KeystoreError(CannotGoOn):
    """Say in one sentence why the keystore stays closed."""


class WrongPassphrase(KeystoreError):
    """The file is whole, and this passphrase does not open it."""


class KeystoreDamaged(KeystoreError):
    """The file is not what was written."""


class PassphraseCost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one guess of the passphrase costs (Argon2id; RFC 9106's second choice).

    Bounded, because a file's header is read before it is authenticated: nobody may make us
    allocate the machine away.
    """

    memory_kib: Annotated[int, msgspec.Meta(ge=8, le=2**21)] = 65_536
    rounds: Annotated[int, msgspec.Meta(ge=1, le=64)] = 3
    lanes: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["rooms-keystore"]
    version: int
    salt: str
    cost: PassphraseCost


class Keystore:
    """Sign with keys derived from three seeds. Made by `create` or `open`, never directly."""

    __slots__ = ("_addresses", "_seeds")

    def __init__(self, seeds: dict[Wallet, bytes]) -> None:
        self._seeds = seeds
        self._addresses: dict[KeyPath, Address] = {}

    @classmethod
    def create(
        cls,
        path: Path,
        passphrase: str,
        random_bytes: RandomBytes,
        cost: PassphraseCost = PassphraseCost(),  # noqa: B008 (frozen)
    ) -> "Keystore":
        """Make the file, once, with fresh seeds; takes as long as a passphrase guess costs.

        Raises:
            KeystoreError: when the file is already there, or the passphrase is too short.
        """
        if len(passphrase) < PASSPHRASE_LETTERS_MIN:
            raise KeystoreError(
                f"the keystore's passphrase needs at least {PASSPHRASE_LETTERS_MIN} letters"
            )
        salt = _drawn(random_bytes, SALT_BYTES)
        data_key = _drawn(random_bytes, KEY_BYTES)
        seeds = {wallet: _drawn(random_bytes, SEED_BYTES) for wallet in Wallet}
        assert len({salt, data_key, *seeds.values()}) == 2 + len(seeds), "randomness repeats itself"

        header = _Header("rooms-keystore", 1, _text(salt).decode(), cost)
        header_line = msgspec.json.encode(header)
        wrapped = _seal(
            _passphrase_key(passphrase, salt, cost), data_key, header_line, random_bytes
        )
        content = b"".join(seeds[wallet] for wallet in Wallet)
        sealed = _seal(data_key, content, header_line + b"\n" + wrapped, random_bytes)
        lines = header_line + b"\n" + wrapped + b"\n" + sealed + b"\n"
        _write_once(path, lines + _checksum(lines) + b"\n")
        return cls(seeds)

    @classmethod
    def open(cls, path: Path, passphrase: str) -> "Keystore":
        """Read the file; takes as long as a passphrase guess costs.

        Raises:
            WrongPassphrase: when the file is whole but stays closed.
            KeystoreDamaged: when it was cut, changed, or is something else.
            KeystoreError: when it is missing, or others may read it.
        """
        header_line, wrapped, sealed = _read_lines(path)
        header = _read_header(path, header_line)
        try:
            salt = base64.b64decode(header.salt, validate=True)
            data_key = _unseal(_passphrase_key(passphrase, salt, header.cost), wrapped, header_line)
        except InvalidTag:
            raise WrongPassphrase(
                f"this passphrase does not open the keystore {path.name}"
            ) from None
        except (binascii.Error, Argon2Error, ValueError):
            raise KeystoreDamaged(f"the keystore {path.name} has an unreadable header") from None
        try:
            content = _unseal(data_key, sealed, header_line + b"\n" + wrapped)
        except (InvalidTag, binascii.Error, ValueError):
            raise KeystoreDamaged(
                f"the keystore {path.name} was changed after it was made"
            ) from None
        if len(content) != SEED_BYTES * len(Wallet):
            raise KeystoreDamaged(f"the keystore {path.name} does not hold what it should")
        return cls(
            {
                wallet: content[place * SEED_BYTES : (place + 1) * SEED_BYTES]
                for place, wallet in enumerate(Wallet)
            }
        )

    async def address(self, path: KeyPath) -> Address:
        """Give the address of a key."""
        known = self._addresses.get(path)
        if known is None:
            known = Address(str(self._keypair(path).pubkey()))
            if len(self._addresses) >= ADDRESSES_KEPT_MAX:
                self._addresses.clear()
            self._addresses[path] = known
        return known

    async def sign(self, message: bytes, paths: Sequence[KeyPath]) -> tuple[bytes, ...]:
        """Give one signature over ``message`` for each path, in their order."""
        return tuple(bytes(self._keypair(path).sign_message(message)) for path in paths)

    def _keypair(self, path: KeyPath) -> Keypair:
        return Keypair.from_seed(derive(self._seeds[path.wallet], path.indexes))

    def __repr__(self) -> str:
        return "Keystore(open)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a keystore is never copied or pickled")


def _drawn(random_bytes: RandomBytes, count: int) -> bytes:
    drawn = random_bytes(count)
    assert len(drawn) == count, "randomness gives as many bytes as asked"
    return drawn


def _text(raw: bytes) -> bytes:
    return base64.b64encode(raw)


def _passphrase_key(passphrase: str, salt: bytes, cost: PassphraseCost) -> bytes:
    # The same letters typed on two systems can be different code points.
    secret = unicodedata.normalize("NFC", passphrase).encode()
    return hash_secret_raw(
        secret, salt, cost.rounds, cost.memory_kib, cost.lanes, KEY_BYTES, Type.ID
    )


def _seal(key: bytes, content: bytes, context: bytes, random_bytes: RandomBytes) -> bytes:
    nonce = _drawn(random_bytes, NONCE_BYTES)
    return _text(nonce + AESGCM(key).encrypt(nonce, content, context))


def _unseal(key: bytes, line: bytes, context: bytes) -> bytes:
    raw = base64.b64decode(line, validate=True)
    return AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], context)


def _checksum(lines: bytes) -> bytes:
    # No secret and no protection: it tells a damaged file from a mistyped passphrase.
    return hashlib.sha256(lines).hexdigest().encode()


def _write_once(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, never replaces what is already there.
        os.link(draft, path)
    except FileExistsError:
        raise KeystoreError(
            f"there already is a keystore {path.name}; it is never replaced"
        ) from None
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read_lines(path: Path) -> tuple[bytes, bytes, bytes]:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise KeystoreError(f"there is no keystore {path.name}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeystoreError(f"others may read the keystore {path.name}: chmod 600 it")
    lines, mark, checksum = content.removesuffix(b"\n").rpartition(b"\n")
    parts = lines.split(b"\n")
    if len(parts) != 3 or checksum != _checksum(lines + mark) or not content.endswith(b"\n"):
        raise KeystoreDamaged(f"the keystore {path.name} is damaged: restore it from a backup")
    return parts[0], parts[1], parts[2]


def _read_header(path: Path, line: bytes) -> _Header:
    try:
        header = msgspec.json.decode(line, type=_Header)
    except msgspec.MsgspecError:
        raise KeystoreDamaged(f"the keystore {path.name} has an unreadable header") from None
    if header.version != 1:
        raise KeystoreError(
            f"the keystore {path.name} has version {header.version}; this program reads version 1"
        )
    return header
