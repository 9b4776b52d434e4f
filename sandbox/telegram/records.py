"""Records: what the server must still know after it was killed.

Holds     one SQLite file: bots, people, chats, messages, events, updates, callbacks, files.
Promises  a change is there whole or not at all, also after kill -9; ``seq`` and ``update_id``
          never go back and are never used again.
Why       SQLite is called from the event loop itself: with a write-ahead log that is not synced
          on every commit a write takes a tenth of a millisecond, less than handing it over.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandbox.telegram.bell import Bell
from sandbox.telegram.spoken import read_kept

Json = dict[str, Any]

EVENTS_KEPT = 20_000
EVENTS_TOLD = 500
ANSWERS_KEPT = 10_000
FIRST_PERSON_ID = 7_100_000_001
FIRST_UPDATE_ID = 410_000_000

_SCHEMA = Path(__file__).with_name("records.sql")


class Records:
    """Keep and find everything by plain SQL, in transactions that ring the bell."""

    def __init__(self, path: Path, bell: Bell) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA.read_text())
        self._bell = bell
        self._inside = False
        self._called_last: int | None = None

    def close(self) -> None:
        """Close the file; nothing is lost without it."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do what is inside whole or not at all, then wake who waits; may be nested."""
        if self._inside:
            yield
            return
        self._inside = True
        self._db.execute("BEGIN IMMEDIATE")
        before = self._db.total_changes
        try:
            yield
        except BaseException:  # Also what is cancelled leaves nothing half done.
            self._db.execute("ROLLBACK")
            raise
        else:
            self._db.execute("COMMIT")
            if self._db.total_changes != before:
                self._bell.ring()
        finally:
            self._inside = False

    # Bots

    def bot(self, bot_id: int) -> Json | None:
        """Find what is known of a bot."""
        return self._body("SELECT body FROM bots WHERE bot_id = ?", bot_id)

    def save_bot(self, bot_id: int, body: Json) -> None:
        """Keep what is known of a bot."""
        self._db.execute(
            """INSERT INTO bots (bot_id, last_update_id, body) VALUES (?, ?, ?)
               ON CONFLICT (bot_id) DO UPDATE SET body = excluded.body""",
            (bot_id, FIRST_UPDATE_ID, json.dumps(body)),
        )

    def note_call(self, bot_id: int) -> None:
        """Remember that this bot called last."""
        if bot_id == self._called_last:
            return
        self._called_last = bot_id
        with self.transaction():
            self._db.execute(
                "UPDATE bots SET called = (SELECT max(called) + 1 FROM bots) WHERE bot_id = ?",
                (bot_id,),
            )

    def latest_bot_id(self) -> int | None:
        """Name the bot that called last, or the first that is known."""
        row = self._row("SELECT bot_id FROM bots ORDER BY called DESC, rowid LIMIT 1")
        return int(row[0]) if row else None

    def bot_ids_with_webhook(self) -> list[int]:
        """Name the bots that hear by webhook."""
        rows = self._rows(
            "SELECT bot_id FROM bots WHERE json_extract(body, '$.webhook') IS NOT NULL"
        )
        return [int(row[0]) for row in rows]

    # People and chats

    def people(self) -> list[Json]:
        """List the people in the order in which they came."""
        rows = self._rows("SELECT person_id, first_name, username FROM people ORDER BY person_id")
        return [_person(row) for row in rows]

    def person(self, person_id: int) -> Json | None:
        """Find a person by number."""
        row = self._row(
            "SELECT person_id, first_name, username FROM people WHERE person_id = ?", person_id
        )
        return _person(row) if row else None

    def add_person(self, first_name: str, username: str) -> Json:
        """Add a person, or find the one who has this name."""
        self._db.execute(
            """INSERT OR IGNORE INTO people (person_id, first_name, username)
               SELECT coalesce(max(person_id) + 1, ?), ?, ? FROM people""",
            (FIRST_PERSON_ID, first_name, username),
        )
        row = self._row(
            "SELECT person_id, first_name, username FROM people WHERE first_name = ?", first_name
        )
        assert row is not None, "a person who was added is there"
        return _person(row)

    def chat(self, bot_id: int, person_id: int) -> Json | None:
        """Find the state of a chat: blocked, wallet, reply keyboard."""
        return self._body(
            "SELECT body FROM chats WHERE bot_id = ? AND person_id = ?", bot_id, person_id
        )

    def save_chat(self, bot_id: int, person_id: int, body: Json) -> None:
        """Keep the state of a chat."""
        self._db.execute(
            """INSERT INTO chats (bot_id, person_id, body) VALUES (?, ?, ?)
               ON CONFLICT (bot_id, person_id) DO UPDATE SET body = excluded.body""",
            (bot_id, person_id, json.dumps(body)),
        )

    def next_message_id(self, bot_id: int, person_id: int) -> int:
        """Take the next number of a chat."""
        row = self._row(
            """UPDATE chats SET last_message_id = last_message_id + 1
               WHERE bot_id = ? AND person_id = ? RETURNING last_message_id""",
            bot_id,
            person_id,
        )
        assert row is not None, "a message is written into a chat that exists"
        return int(row[0])

    # Messages and events

    def message(self, bot_id: int, person_id: int, message_id: int) -> Json | None:
        """Find a message as it stands now."""
        return self._body(
            "SELECT body FROM messages WHERE bot_id = ? AND person_id = ? AND message_id = ?",
            bot_id,
            person_id,
            message_id,
        )

    def save_message(self, bot_id: int, person_id: int, seq: int, body: Json) -> None:
        """Keep a message as it stands now."""
        self._db.execute(
            "INSERT OR REPLACE INTO messages VALUES (?, ?, ?, ?, ?)",
            (bot_id, person_id, body["message_id"], seq, json.dumps(body)),
        )

    def delete_message(self, bot_id: int, person_id: int, message_id: int) -> None:
        """Forget a message."""
        self._db.execute(
            "DELETE FROM messages WHERE bot_id = ? AND person_id = ? AND message_id = ?",
            (bot_id, person_id, message_id),
        )

    def messages(self, bot_id: int, person_id: int, limit: int) -> list[Json]:
        """List the newest messages of a chat, oldest first."""
        rows = self._rows(
            """SELECT body FROM messages WHERE bot_id = ? AND person_id = ?
               ORDER BY message_id DESC LIMIT ?""",
            bot_id,
            person_id,
            limit,
        )
        return [read_kept(row[0]) for row in reversed(rows)]

    def add_event(self, bot_id: int, person_id: int, body: Json) -> int:
        """Append what has happened in a chat and give it its number."""
        row = self._row(
            "INSERT INTO events (bot_id, person_id, body) VALUES (?, ?, ?) RETURNING seq",
            bot_id,
            person_id,
            json.dumps(body),
        )
        assert row is not None, "an insert returns its number"
        seq = int(row[0])
        if seq % 1_000 == 0:
            self._db.execute("DELETE FROM events WHERE seq <= ?", (seq - EVENTS_KEPT,))
        return seq

    def latest_seq(self) -> int:
        """Name the newest event's number, 0 before the first."""
        row = self._row("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
        return int(row[0]) if row else 0

    def events(
        self, bot_id: int, after_seq: int, person_id: int | None = None, limit: int | None = None
    ) -> list[Json]:
        """List what happened after a number, for one person or for all.

        Of what lies further back than events are kept, each message is told once, as it stands.
        """
        row = self._row("SELECT min(seq) FROM events")
        floor = int(row[0]) - 1 if row and row[0] is not None else self.latest_seq()
        rows = self._rows(
            """SELECT seq, person_id, json_object('kind', 'message', 'message', json(body))
               FROM messages WHERE bot_id = :bot AND seq > :after AND seq <= :floor
                 AND (:person IS NULL OR person_id = :person)
               UNION ALL
               SELECT seq, person_id, body
               FROM events WHERE bot_id = :bot AND seq > :after
                 AND (:person IS NULL OR person_id IN (:person, 0))
               ORDER BY seq LIMIT :limit""",
            {
                "bot": bot_id,
                "after": after_seq,
                "floor": floor,
                "person": person_id,
                "limit": limit or EVENTS_TOLD,
            },
        )
        return [{"seq": seq, "person_id": who, **read_kept(body)} for seq, who, body in rows]

    # Updates

    def next_update_id(self, bot_id: int) -> int:
        """Take the next number of a bot's updates."""
        row = self._row(
            """UPDATE bots SET last_update_id = last_update_id + 1
               WHERE bot_id = ? RETURNING last_update_id""",
            bot_id,
        )
        assert row is not None, "an update is for a bot that exists"
        return int(row[0])

    def execute(self, sql: str, *parameters: object) -> int:
        """Run one statement and tell how many rows it touched."""
        return self._db.execute(sql, parameters).rowcount

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Read all rows of one statement."""
        return self._rows(sql, *parameters)

    # Files and repeated requests

    def file(self, file_id: str) -> Json | None:
        """Find what is known of a file."""
        return self._body("SELECT body FROM files WHERE file_id = ?", file_id)

    def save_file(self, file_id: str, body: Json) -> None:
        """Keep what is known of a file."""
        self._db.execute("INSERT OR REPLACE INTO files VALUES (?, ?)", (file_id, json.dumps(body)))

    def answered(self, once: str) -> Json | None:
        """Find the answer that a request with this name got before."""
        return self._body("SELECT answer FROM requests WHERE once = ?", once)

    def save_answer(self, once: str, answer: Json) -> None:
        """Keep the answer of a request, for the day it is asked again."""
        self._db.execute("INSERT INTO requests VALUES (?, ?)", (once, json.dumps(answer)))
        self._db.execute(
            "DELETE FROM requests WHERE rowid <= (SELECT max(rowid) FROM requests) - ?",
            (ANSWERS_KEPT,),
        )

    def _row(self, sql: str, *parameters: object) -> tuple[Any, ...] | None:
        rows = self._rows(sql, *parameters)
        return rows[0] if rows else None

    def _rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        bound = parameters[0] if parameters and isinstance(parameters[0], dict) else parameters
        return self._db.execute(sql, bound).fetchall()

    def _body(self, sql: str, *parameters: object) -> Json | None:
        row = self._row(sql, *parameters)
        if row is None:
            return None
        body: Json = read_kept(row[0])
        return body


def _person(row: tuple[Any, ...]) -> Json:
    return {"id": int(row[0]), "first_name": str(row[1]), "username": str(row[2])}
