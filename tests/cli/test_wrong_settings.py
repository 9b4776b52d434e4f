"""What an operator sets wrongly, or has not started, is told in one line that names it."""

import asyncio
import os
import sys
from dataclasses import replace

import pytest

from cli.migrate import migrate_all, write_feeds
from cli.settings import BadSettings, read_settings_from
from rooms.catalogue import CATALOGUE
from storage.connections import Connections, DatabaseAway, open_connection, open_connections
from tests.postgres import free_port

ONE = '["http://127.0.0.1:27505"]'


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DATABASE_URL", "garbage", "ROOMS_DATABASE_URL: an address such as postgresql://"),
        ("DATABASE_URL", "postgresql://h:hush/x", "ROOMS_DATABASE_URL: an address such as"),
        ("REDIS_URL", "nonsense", "ROOMS_REDIS_URL: an address such as redis://"),
        ("SOLANA_URLS", ONE, "ROOMS_SOLANA_URLS: the https:// addresses of at least two"),
        ("SOLANA_URLS", '["hush","hush"]', "ROOMS_SOLANA_URLS: the https:// addresses of"),
        ("QUORUM", "0", "ROOMS_QUORUM: Input should be greater than or equal to 1"),
        ("QUORUM", "-3", "ROOMS_QUORUM: Input should be greater than or equal to 1"),
        (
            "LIMITS__STAKE_LAMPORTS_MIN",
            "9000000000",
            "ROOMS_LIMITS: stake_lamports_min is above stake_lamports_max",
        ),
        (
            "TOKENS",
            '{"USDC":{"mint":"x","stake_max":1}}',
            "ROOMS_TOKENS: stake_min is above stake_max",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_wanted(name: str, value: str, said: str) -> None:
    with pytest.raises(BadSettings) as caught:
        read_settings_from({f"ROOMS_{name}": value})
    assert str(caught.value).startswith(said)
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("GUARDS", '{"SOL/USD":{"quorum":400}}', "ROOMS_GUARDS: a quorum of 400"),
        ("GUARDS", '{"*":{"quorum":400}}', "ROOMS_GUARDS: a quorum of 400"),
        ("QUORUM", "400", "ROOMS_QUORUM: a quorum of 400"),
        ("GUARDS", '{"SOL/USD":{"quorum":0}}', "ROOMS_GUARDS of SOL/USD"),
    ],
)
async def test_a_quorum_that_is_never_reached_is_refused_before_the_database_is_asked(
    name: str, value: str, said: str
) -> None:
    nowhere = {"ROOMS_DATABASE_URL": "postgresql://127.0.0.1:1/none", f"ROOMS_{name}": value}
    with pytest.raises(BadSettings, match=said):
        await migrate_all(read_settings_from(nowhere))


async def test_a_migration_says_which_guards_it_changed(connections: Connections) -> None:
    feed = CATALOGUE["SOL/USD"]
    other = type(feed.guards)(quorum=feed.guards.quorum + 1)
    async with connections.acquire() as connection:
        assert await write_feeds(connection, [feed], ()) == []
        assert await write_feeds(connection, [feed], ()) == []
        changed = await write_feeds(connection, [replace(feed, guards=other)], ())
    assert changed == [f"guards of SOL/USD: quorum {feed.guards.quorum} → {other.quorum}"]


async def test_a_database_that_does_not_answer_is_named_without_its_password() -> None:
    dsn = f"postgresql://rooms:hush@127.0.0.1:{free_port()}/rooms"
    place = dsn.partition("@")[2].partition("/")[0]
    for opened in (open_connections(dsn, name="test"), open_connection(dsn, name="test")):
        with pytest.raises(DatabaseAway, match=f"the database at {place} does not") as caught:
            async with opened:
                pass
        assert "hush" not in str(caught.value)


async def test_a_command_with_the_stack_stopped_is_one_line() -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "token", "list",
        env={**os.environ, "ROOMS_DATABASE_URL": f"postgresql://postgres@127.0.0.1:{port}/rooms"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == 1
    assert said.decode().count("\n") == 1
    assert said.decode().startswith(f"the database at 127.0.0.1:{port} does not answer")
