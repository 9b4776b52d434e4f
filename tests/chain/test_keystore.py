"""The keystore opens with its passphrase alone, says why when it does not, and shows nothing."""

import copy
import pickle
import stat
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest
from solders.pubkey import Pubkey
from solders.signature import Signature

from chain.keystore import (
    Keystore,
    KeystoreDamaged,
    KeystoreError,
    PassphraseCost,
    WrongPassphrase,
)
from chain.signer import KeyPath

PASSPHRASE = "correct horse battery"
CHEAP = PassphraseCost(memory_kib=64, rounds=1, lanes=1)
PATHS = (KeyPath.user(42), KeyPath.vault(42), KeyPath.fee_payer(), KeyPath.treasury())


def made(path: Path, seed: int = 1) -> Keystore:
    return Keystore.create(path, PASSPHRASE, Random(seed).randbytes, CHEAP)


async def test_what_was_made_opens_again_with_the_same_addresses(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "rooms.keystore"
    first = made(path)
    again = Keystore.open(path, PASSPHRASE)
    addresses = [await first.address(each) for each in PATHS]
    assert [await again.address(each) for each in PATHS] == addresses
    assert len(set(addresses)) == len(PATHS)
    assert all(Pubkey.from_string(address).is_on_curve() for address in addresses)


async def test_signatures_come_in_the_order_of_their_paths_and_verify(tmp_path: Path) -> None:
    keystore = made(tmp_path / "k")
    signatures = await keystore.sign(b"a message", PATHS)
    for path, signature in zip(PATHS, signatures, strict=True):
        key = Pubkey.from_string(await keystore.address(path))
        assert Signature.from_bytes(signature).verify(key, b"a message")
    assert await keystore.sign(b"a message", PATHS) == signatures


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "k"
    made(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["k"]
    path.chmod(0o640)
    with pytest.raises(KeystoreError, match="others may read"):
        Keystore.open(path, PASSPHRASE)


def test_a_keystore_is_made_once_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "k"
    made(path)
    content = path.read_bytes()
    with pytest.raises(KeystoreError, match="never replaced"):
        made(path, seed=2)
    assert path.read_bytes() == content
    assert [each.name for each in tmp_path.iterdir()] == ["k"]


def test_a_missing_file_and_a_short_passphrase_are_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(KeystoreError, match="there is no keystore k"):
        Keystore.open(tmp_path / "k", PASSPHRASE)
    with pytest.raises(KeystoreError, match="at least 8 letters"):
        Keystore.create(tmp_path / "k", "short", Random(1).randbytes, CHEAP)
    assert not (tmp_path / "k").exists()


def test_another_passphrase_does_not_open_it(tmp_path: Path) -> None:
    path = tmp_path / "k"
    made(path)
    with pytest.raises(WrongPassphrase, match="does not open"):
        Keystore.open(path, PASSPHRASE + "!")


async def test_a_passphrase_typed_on_another_system_opens_it(tmp_path: Path) -> None:
    path = tmp_path / "k"
    Keystore.create(path, "caf\u00e9 caf\u00e9", Random(1).randbytes, CHEAP)
    Keystore.open(path, "cafe\u0301 cafe\u0301")


def test_every_changed_or_missing_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "k"
    made(path)
    content = path.read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(KeystoreDamaged):
            Keystore.open(path, PASSPHRASE)
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(KeystoreDamaged):
            Keystore.open(path, PASSPHRASE)


def rewritten(path: Path, change: Callable[[list[bytes]], None]) -> None:
    """Tamper as one would who knows the format: the checksum is made right again."""
    lines = path.read_bytes().split(b"\n")[:3]
    change(lines)
    content = b"\n".join(lines) + b"\n"
    path.write_bytes(content + sha256(content).hexdigest().encode() + b"\n")


def test_a_tamperer_who_mends_the_checksum_opens_nothing(tmp_path: Path) -> None:
    path = tmp_path / "k"

    def cheaper(lines: list[bytes]) -> None:
        lines[0] = lines[0].replace(b'"memory_kib":64', b'"memory_kib":32')

    def newer(lines: list[bytes]) -> None:
        lines[0] = lines[0].replace(b'"version":1', b'"version":2')

    def dearer(lines: list[bytes]) -> None:
        lines[0] = lines[0].replace(b'"memory_kib":64', b'"memory_kib":9999999999')

    def blank(lines: list[bytes]) -> None:
        lines[0] = lines[0].replace(b"{", b"{ ", 1)

    def seeds(lines: list[bytes]) -> None:
        lines[2] = lines[2][:20] + (b"A" if lines[2][20:21] != b"A" else b"B") + lines[2][21:]

    def not_base64(lines: list[bytes]) -> None:
        lines[1] = b"*" + lines[1]

    for change, says in (
        (cheaper, "does not open"),
        (blank, "does not open"),
        (newer, "version 2"),
        (dearer, "unreadable header"),
        (seeds, "was changed"),
        (not_base64, "unreadable header"),
    ):
        path.unlink(missing_ok=True)
        made(path)
        rewritten(path, change)
        with pytest.raises(KeystoreError, match=says):
            Keystore.open(path, PASSPHRASE)


def test_two_keystores_share_no_byte_that_matters(tmp_path: Path) -> None:
    made(tmp_path / "a", seed=1)
    made(tmp_path / "b", seed=2)
    one, other = (tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()
    for line, twin in zip(one.split(b"\n")[:3], other.split(b"\n")[:3], strict=True):
        assert line != twin


def test_no_secret_can_be_seen_copied_or_found_in_the_file(tmp_path: Path) -> None:
    drawn: list[bytes] = []
    random = Random(3)

    def remembered(count: int) -> bytes:
        drawn.append(random.randbytes(count))
        return drawn[-1]

    path = tmp_path / "k"
    keystore = Keystore.create(path, PASSPHRASE, remembered, CHEAP)
    secrets = [each for each in drawn if len(each) == 32]
    assert len(secrets) == 4
    shown = f"{keystore!r} {keystore} {vars(type(keystore)).get('__dict__', '')}"
    assert shown.startswith("Keystore(open) Keystore(open)")
    for secret in secrets:
        assert secret not in path.read_bytes()
        assert secret.hex() not in shown
    with pytest.raises(TypeError):
        pickle.dumps(keystore)
    with pytest.raises(TypeError):
        copy.copy(keystore)


def test_randomness_that_repeats_itself_makes_no_keystore(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="repeats"):
        Keystore.create(tmp_path / "k", PASSPHRASE, bytes, CHEAP)
    assert not (tmp_path / "k").exists()
