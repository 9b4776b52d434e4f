"""`rooms turnkey` makes wallets and policies at a real organisation, and says what differs."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from random import Random

import pytest

from chain.keystore import Keystore
from sandbox.turnkey.serve import RunningTurnkey, TurnkeySettings, running_turnkey
from tests.chain.turnkey_town import SERVICE, api_key

ROOT = api_key(3)
KEY = api_key(4)


@pytest.fixture
async def turnkey(tmp_path: Path) -> AsyncIterator[RunningTurnkey]:
    async with running_turnkey(TurnkeySettings(data_dir=tmp_path / "turnkey")) as running:
        running.organization.add_user(ROOT.public, "root", root=True)
        running.organization.add_user(KEY.public, SERVICE)
        yield running


async def rooms(*words: str, **given: str) -> tuple[int, str, str]:
    """Run a command with these settings; return its code and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", *words,
        env={**os.environ, **given}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), " ".join(err.decode().split())


def settings(turnkey: RunningTurnkey, folder: Path) -> Mapping[str, str]:
    path = folder / "keystore"
    if not path.exists():
        Keystore.create(path, "a passphrase", Random(1).randbytes)
    return {
        "ROOMS_TURNKEY__URL": turnkey.url,
        "ROOMS_TURNKEY__ORGANIZATION": turnkey.organization.id,
        "ROOMS_TURNKEY__USER": SERVICE,
        "ROOMS_TURNKEY__KEYS": f"{KEY.public}:{KEY.private}",
        "ROOMS_KEYSTORE": str(path),
        "ROOMS_KEYSTORE_PASSPHRASE": "a passphrase",
    }


async def test_from_an_empty_organisation_to_one_that_is_as_wanted(
    turnkey: RunningTurnkey, tmp_path: Path
) -> None:
    given = settings(turnkey, tmp_path)
    root = {"TURNKEY_ROOT_KEY": f"{ROOT.public}:{ROOT.private}"}

    code, out, err = await rooms("turnkey", "wallets", **given, **root)
    assert code == 0, err
    made = dict(line.split("=", 1) for line in out.split())
    assert list(made) == [
        f"ROOMS_TURNKEY__{name}_WALLET" for name in ("USERS", "VAULTS", "OPERATOR")
    ]

    code, out, err = await rooms("turnkey", "policies", **given, **made)
    assert code == 1
    assert "missing: rooms: stakes and withdrawals" in err
    assert made["ROOMS_TURNKEY__USERS_WALLET"] in json.loads(out)[0]["condition"]

    code, _, err = await rooms("turnkey", "policies", "--install", **given, **made, **root)
    assert (code, err) == (0, "✔ what is installed is what is wanted")
    assert len(turnkey.organization.policies()) == 4

    code, _, err = await rooms(
        "turnkey", "policies", **given, **made, ROOMS_TURNKEY__STAKE_LAMPORTS_MAX="5"
    )
    assert code == 1
    assert "stakes and withdrawals: condition is" in err


async def test_without_a_right_to_it_nothing_is_made(
    turnkey: RunningTurnkey, tmp_path: Path
) -> None:
    given = settings(turnkey, tmp_path)
    code, _, err = await rooms("turnkey", "wallets", **given)
    assert code == 1
    assert "TURNKEY_ROOT_KEY" in err
    code, _, err = await rooms(
        "turnkey", "wallets", **given, TURNKEY_ROOT_KEY=f"{KEY.public}:{KEY.private}"
    )
    assert code == 1
    assert "REQUEST_NOT_AUTHORIZED" in err
    assert KEY.private not in err
    assert "Traceback" not in err
