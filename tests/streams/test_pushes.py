"""The door of pushed values: what is signed right comes into the log, nothing else does."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer

from rooms.push import Push, push_feed
from rooms.refusal import Refused
from rooms.tick import Tick
from rooms.units import Bps, UnixMs
from storage import feeds
from storage.connections import Connections
from storage.feeds import WantedFeed
from streams import messages
from streams.doors import listening, serve
from streams.messages import Ticks
from streams.producer import open_producer
from streams.pushes import (
    BODY_BYTES_MAX,
    LOOKED_AT_PER_S,
    PATH,
    PUSHES_PER_S,
    Pushes,
    door,
)
from streams.signatures import BadKeyFile, SigningKey, is_signed, make_key, read_key
from streams.ticks import FeedsSettings, run_feeds
from streams.topics import TICKS
from tests.kafka import Kafka
from tests.pricing import now_ms

NOW = UnixMs(1_700_000_000_000)
LIMIT_S = 20


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return make_key(tmp_path / "alice.pem")


def body(key: SigningKey, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - what a body holds
    """Sign a push as a client does; changes are made after it is signed."""
    push = Push(feed="push:rain", signer="alice", value="12.5", at=NOW, sequence=1)
    for name in ("value", "at", "sequence"):
        if f"signed_{name}" in changes:
            object.__setattr__(push, name, changes.pop(f"signed_{name}"))
    sent = {
        "feed": push.feed,
        "signer": push.signer,
        "value": push.value,
        "at": push.at,
        "sequence": push.sequence,
        "signature": key.sign(push.signed_text().encode()).hex(),
    }
    return {name: value for name, value in {**sent, **changes}.items() if value is not None}


class Door:
    """A door on loopback with one feed behind it."""

    def __init__(self, key: SigningKey) -> None:
        self.taken: list[tuple[str, Tick]] = []
        self.now = NOW
        self.feeds = {
            name: WantedFeed(name, 1, {"alice": key.public_hex})
            for name in ("push:rain", "SOL/USD")
        }

    def pushes(self) -> Pushes:
        return Pushes(self.feeds.get, lambda *told: self.taken.append(told), lambda: self.now)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[httpx.AsyncClient]:
        pushes = self.pushes()
        with listening("127.0.0.1", 0) as at:
            serving = asyncio.create_task(serve(door(pushes), at))
            url = f"http://127.0.0.1:{at.getsockname()[1]}"
            async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
                yield client
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving


async def test_a_signed_value_becomes_a_tick_of_its_signer(key: SigningKey) -> None:
    door = Door(key)
    async with door.open() as client:
        answer = await client.post(PATH, json=body(key))
    assert (answer.status_code, answer.json()) == (202, {"taken": True})
    ((feed, tick),) = door.taken
    assert feed == "push:rain"
    assert tick == Tick("alice", 1, 125, NOW, NOW)  # type: ignore[arg-type]


async def test_what_is_not_right_is_refused_with_a_sentence_and_changes_nothing(
    key: SigningKey, tmp_path: Path
) -> None:
    door, stranger = Door(key), make_key(tmp_path / "mallory.pem")
    table: list[tuple[int, str, Any]] = [
        (401, "bad_signature", body(stranger)),
        (401, "bad_signature", body(key, value="12.6")),
        (401, "bad_signature", body(key, sequence=2)),
        (401, "bad_signature", body(key, at=NOW + 1)),
        (404, "no_feed", body(key, feed="push:snow")),
        (404, "no_feed", body(key, feed="SOL/USD")),
        (403, "no_signer", body(key, signer="bob")),
        (400, "bad_request", body(key, signature="00")),
        (400, "bad_request", body(key, value=12.5)),
        (400, "bad_request", body(key, sequence=-1)),
        (400, "bad_request", body(key, sequence=1.0)),
        (400, "bad_request", body(key, sequence=None)),
        (400, "bad_request", body(key, other=1)),
        (400, "bad_request", []),
        (400, "bad_value", body(key, signed_value="12.55")),
        (422, "too_old", body(key, signed_at=NOW - 10_001)),
        (422, "too_early", body(key, signed_at=NOW + 1_001)),
    ]
    async with door.open() as client:
        for status, code, sent in table:
            answer = await client.post(PATH, content=json.dumps(sent))
            said = answer.json()["error"]
            assert (answer.status_code, said["code"]) == (status, code), sent
            assert said["sentence"].endswith(".")
        for sent in (b"", b"{", b"\xff", b"[" * 500, b'{"feed":'):
            answer = await client.post(PATH, content=sent)
            assert answer.status_code == 400
        assert (await client.get(PATH)).status_code == 405
        assert (await client.post("/v2/push")).status_code == 404
        assert door.taken == []
        assert (await client.post(PATH, json=body(key))).status_code == 202
        again = await client.post(PATH, json=body(key))
        assert (again.status_code, again.json()["error"]["code"]) == (409, "replayed")
    assert len(door.taken) == 1


async def test_a_large_body_is_not_read(key: SigningKey) -> None:
    door = Door(key)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 600

    async with door.open() as client:
        answer = await client.post(PATH, content=b" " * (BODY_BYTES_MAX + 1))
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
        async with asyncio.timeout(LIMIT_S):
            try:
                answer = await client.post(PATH, content=endless())
            except httpx.TransportError:
                pass  # It was closed while we were still writing.
            else:
                assert answer.status_code == 413
        assert (await client.post(PATH, json=body(key))).status_code == 202


def test_a_signer_and_all_together_are_held_to_a_pace(key: SigningKey) -> None:
    door = Door(key)
    pushes = door.pushes()

    def code(sent: dict[str, Any]) -> str | None:
        try:
            pushes.take(json.dumps(sent).encode())
        except Refused as refused:
            return refused.code
        return None

    codes = [code(body(key, signed_sequence=number)) for number in range(PUSHES_PER_S + 1)]
    assert codes == [None] * PUSHES_PER_S + ["too_many"]
    door.now = UnixMs(NOW + 1_000)
    assert code(body(key, signed_sequence=99)) is None
    codes = [code({}) for _ in range(LOOKED_AT_PER_S)]
    assert codes == ["bad_request"] * (LOOKED_AT_PER_S - 1) + ["too_many"]
    assert code(body(key, signed_sequence=100)) == "too_many"


async def test_what_is_pushed_to_the_process_lies_in_the_log_of_its_feed(
    connections: Connections, kafka: Kafka, key: SigningKey
) -> None:
    feed = push_feed(
        name="rain", unit="mm", scale=1, signers={"alice": key.public_hex}, quorum=1,
        age_ms_max=60_000, spread_bps_max=Bps(100), volatility_bps=Bps(10_000),
    )  # fmt: skip
    async with connections.acquire() as connection:
        await feeds.upsert(connection, feed, standing=True)
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    ready = asyncio.Event()
    consumer = AIOKafkaConsumer(
        TICKS, bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest"
    )
    async with open_producer(kafka.bootstrap, name="feeds") as producer:
        task = asyncio.create_task(
            run_feeds(
                FeedsSettings(sources=frozenset(), push_at=("127.0.0.1", port)),
                connections=connections,
                producer=producer,
                random=Random(1),
                ready=ready.set,
            )
        )
        await consumer.start()
        try:
            async with asyncio.timeout(LIMIT_S), httpx.AsyncClient(trust_env=False) as client:
                await ready.wait()
                url, now = f"http://127.0.0.1:{port}{PATH}", now_ms()
                answer = await client.post(url, json=body(key, signed_at=now))
                assert answer.status_code == 202
                async for message in consumer:
                    heard = messages.read_heard(message.value)
                    assert isinstance(heard, Ticks)
                    if heard.ticks:
                        break
            assert isinstance(heard, Ticks)
            assert message.key == b"push:rain"
            ((source, sequence, value, source_at, _),) = heard.ticks
            assert (source, sequence, value, source_at) == ("alice", 1, 125, now)
        finally:
            task.cancel()
            await consumer.stop()
            with pytest.raises(asyncio.CancelledError):
                await task


def test_a_key_lies_in_a_file_of_its_own_and_is_never_shown(tmp_path: Path) -> None:
    made = make_key(tmp_path / "key.pem")
    read = read_key(tmp_path / "key.pem")
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    assert read.public_hex == made.public_hex
    assert is_signed(made.public_hex, read.sign(b"it"), b"it")
    assert not is_signed(made.public_hex, read.sign(b"it"), b"it is")
    assert not is_signed("00" * 32, b"\0" * 64, b"")
    assert made.public_hex not in repr(made)
    with pytest.raises(BadKeyFile):
        make_key(tmp_path / "key.pem")
    with pytest.raises(BadKeyFile):
        read_key(tmp_path / "none.pem")
    (tmp_path / "bad.pem").write_text("-----BEGIN")
    with pytest.raises(BadKeyFile):
        read_key(tmp_path / "bad.pem")
