"""What is too old is refused or dropped, judged by a clock that the test turns."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from sandbox.telegram.bell import Bell
from sandbox.telegram.chats import Chats
from sandbox.telegram.faults import Faults
from sandbox.telegram.files import Files
from sandbox.telegram.markup import Markup
from sandbox.telegram.records import Records
from sandbox.telegram.refusals import BotApiError
from sandbox.telegram.updates import Updates

BOT = 777
SECOND_MS = 1_000
HOUR_MS = 3_600 * SECOND_MS


@dataclass
class World:
    """A chat between one bot and one person, and the clock on the wall."""

    records: Records
    now_ms: int = 1_763_793_600_000

    def __post_init__(self) -> None:
        self.updates = Updates(self.records, Bell(), Faults(), lambda: self.now_ms)
        self.chats = Chats(self.records, self.updates, lambda: self.now_ms, Random(7))
        with self.records.transaction():
            self.records.save_bot(BOT, {"first_name": "Rooms", "username": "rooms_bot"})
            self.ann: int = self.records.add_person("Ann", "ann")["id"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with closing(Records(tmp_path / "telegram.sqlite", Bell())) as records:
        yield World(records)


@pytest.mark.parametrize(("after_ms", "refused"), [(150_000, False), (150_001, True)])
def test_a_press_can_be_answered_for_150_seconds(
    world: World, after_ms: int, *, refused: bool
) -> None:
    world.chats.say(BOT, world.ann, "/start")
    sent = world.chats.post(BOT, world.ann, {"text": "x"}, Markup())
    query_id = world.chats.press(BOT, world.ann, sent["message_id"], "d")
    world.now_ms += after_ms
    if refused:
        with pytest.raises(BotApiError, match="query is too old"):
            world.chats.answer(BOT, query_id, "", "", alert=False)
    else:
        world.chats.answer(BOT, query_id, "", "", alert=False)


def test_a_press_waits_150_seconds_for_its_bot_and_a_message_a_day(world: World) -> None:
    said = world.chats.say(BOT, world.ann, "/start")
    world.chats.press(BOT, world.ann, said["message_id"], "d")
    press_key = world.ann + (3 << 33)
    assert world.updates.keys(BOT) == [world.ann, press_key]
    world.now_ms += 150 * SECOND_MS
    assert world.updates.keys(BOT) == [world.ann]
    assert world.updates.first(BOT, press_key) is None
    world.now_ms += 24 * HOUR_MS - 150 * SECOND_MS - 1
    assert world.updates.keys(BOT) == [world.ann]
    world.now_ms += 1
    assert world.updates.keys(BOT) == []
    world.updates.drop_expired()
    assert world.updates.count(BOT) == 0


def test_a_message_can_be_deleted_for_48_hours(world: World) -> None:
    first = world.chats.say(BOT, world.ann, "first")
    world.now_ms += 48 * HOUR_MS
    second = world.chats.say(BOT, world.ann, "second")
    world.chats.delete(BOT, world.ann, first["message_id"])
    world.now_ms += 48 * HOUR_MS + SECOND_MS
    with pytest.raises(BotApiError, match="can't be deleted"):
        world.chats.delete(BOT, world.ann, second["message_id"])


def test_what_was_refused_has_changed_nothing(world: World) -> None:
    world.chats.say(BOT, world.ann, "/start")
    before = (world.records.latest_seq(), world.updates.count(BOT))
    chat = world.records.chat(BOT, world.ann)
    for reply_to in (99, 100):
        with pytest.raises(BotApiError, match="to be replied not found"):
            world.chats.say(BOT, world.ann, "x", reply_to)
    assert (world.records.latest_seq(), world.updates.count(BOT)) == before
    assert world.records.chat(BOT, world.ann) == chat
    assert world.chats.say(BOT, world.ann, "y")["message_id"] == 2


def test_no_path_leads_out_of_the_folder_of_files(world: World, tmp_path: Path) -> None:
    files = Files(world.records, tmp_path / "files")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.png").write_bytes(b"a")
    assert files.on_disk("a.png") is not None
    assert (tmp_path / "telegram.sqlite").exists()
    for path in ("../telegram.sqlite", str(tmp_path / "telegram.sqlite"), "b.png", ""):
        assert files.on_disk(path) is None
