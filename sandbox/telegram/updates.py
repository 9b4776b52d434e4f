"""Updates: the queue of what a bot has not yet acknowledged.

In        what people do.
Out       updates in the order of their rising ``update_id``, to a poll or to a webhook.
Holds     every update until it is acknowledged or too old, on disk.
Promises  an update is offered again until it is acknowledged; kill -9 loses none.
Why       messages queue by chat and button presses by person, as Telegram queues them, so with
          a webhook the two can overtake each other.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.telegram.bell import Bell
from sandbox.telegram.faults import Faults
from sandbox.telegram.records import Json, Records
from sandbox.telegram.refusals import conflict
from sandbox.telegram.spoken import read_kept

POLL_LIMIT_MAX = 100
POLL_SECONDS_MAX = 50
MESSAGE_LIFE_MS = 24 * 3600 * 1000
CALLBACK_LIFE_MS = 150 * 1000
CALLBACK_KEY_OFFSET = 3 << 33
UNTIL_A_PRESS = -1

# Sent only to a bot that asks for them by name.
NOT_BY_DEFAULT = {"chat_member", "message_reaction", "message_reaction_count"}


@dataclass(frozen=True, slots=True)
class Pending:
    """One update that waits for its bot."""

    update_id: int
    expires_at: int
    body: Json


class Updates:
    """Queue updates for bots and hand them out until they are acknowledged."""

    def __init__(
        self, records: Records, bell: Bell, faults: Faults, clock_ms: Callable[[], int]
    ) -> None:
        self._records = records
        self._bell = bell
        self._faults = faults
        self._clock_ms = clock_ms
        self._polls: dict[int, int] = {}

    def push_message(self, bot_id: int, person_id: int, kind: str, body: Json) -> None:
        """Queue what came in by a chat: a message, or that its person blocked the bot."""
        held = self._faults.take("overtake", None, person_id)
        self._push(
            bot_id,
            person_id,
            kind,
            body,
            life_ms=MESSAGE_LIFE_MS,
            after_update=UNTIL_A_PRESS if held else None,
        )

    def push_callback(self, bot_id: int, person_id: int, body: Json) -> None:
        """Queue a button press, and let go the messages it was to overtake."""
        key = person_id + CALLBACK_KEY_OFFSET
        update_id = self._push(
            bot_id, key, "callback_query", body, life_ms=CALLBACK_LIFE_MS, after_update=None
        )
        held = self._records.rows(
            """SELECT update_id, body FROM updates
               WHERE bot_id = ? AND queue_key = ? AND after_update = ? ORDER BY update_id""",
            bot_id,
            person_id,
            UNTIL_A_PRESS,
        )
        by_webhook = self._bot(bot_id).get("webhook") is not None
        for held_id, held_body in held:
            # A poll confirms everything below its offset, so there the message is numbered anew.
            number = held_id if by_webhook else self._records.next_update_id(bot_id)
            self._records.execute(
                """UPDATE updates SET update_id = ?, after_update = ?, body = ?
                   WHERE bot_id = ? AND update_id = ?""",
                number,
                update_id if by_webhook else None,
                json.dumps({**read_kept(held_body), "update_id": number}),
                bot_id,
                held_id,
            )

    def acknowledge(self, bot_id: int, update_id: int) -> None:
        """Forget an update that its bot has taken, unless it is to come twice."""
        if not self._faults.take("duplicate", None, None):
            self._delete("bot_id = ? AND update_id = ?", bot_id, update_id)

    def drop_all(self, bot_id: int) -> None:
        """Forget everything that waits for a bot."""
        self._delete("bot_id = ?", bot_id)

    def drop_expired(self) -> None:
        """Forget what is too old to be delivered."""
        self._delete("expires_at <= ?", self._clock_ms())

    def count(self, bot_id: int) -> int:
        """Count what waits for a bot."""
        rows = self._records.rows("SELECT count(*) FROM updates WHERE bot_id = ?", bot_id)
        return int(rows[0][0])

    def keys(self, bot_id: int) -> list[int]:
        """Name the queues of a bot that have something to deliver, the longest waiting first."""
        rows = self._records.rows(
            f"""SELECT queue_key, min(update_id) FROM updates AS waiting
                WHERE bot_id = ? AND {_DELIVERABLE} GROUP BY queue_key ORDER BY 2""",  # noqa: S608 (a constant)
            bot_id,
            self._clock_ms(),
        )
        return [int(row[0]) for row in rows]

    def first(self, bot_id: int, key: int) -> Pending | None:
        """Find the update at the head of a queue; None when it is empty or held."""
        rows = self._records.rows(
            f"""SELECT update_id, expires_at, body FROM updates AS waiting
                WHERE bot_id = ? AND {_DELIVERABLE} AND queue_key = ?
                ORDER BY update_id LIMIT 1""",  # noqa: S608 (a constant)
            bot_id,
            self._clock_ms(),
            key,
        )
        return Pending(rows[0][0], rows[0][1], read_kept(rows[0][2])) if rows else None

    async def poll(self, bot_id: int, offset: int, limit: int, wait_s: int) -> list[Json]:
        """Acknowledge what lies below the offset and answer what follows, once there is any.

        Raises:
            BotApiError: 409 when a webhook is set, or as soon as another poll begins.
        """
        self._refuse_webhook(bot_id)
        turn = self._polls[bot_id] = self._polls.get(bot_id, 0) + 1
        self._bell.ring()
        self._confirm_below(bot_id, offset)
        deadline = self._clock_ms() + 1000 * min(max(wait_s, 0), POLL_SECONDS_MAX)
        while True:
            waiting = self._waiting(bot_id, min(max(limit, 1), POLL_LIMIT_MAX))
            left = deadline - self._clock_ms()
            if waiting or left <= 0 or self._bell.closed:
                return waiting
            await self._bell.wait(left)
            self._refuse_webhook(bot_id)
            if self._polls[bot_id] != turn:
                raise conflict(
                    "terminated by other getUpdates request; "
                    "make sure that only one bot instance is running"
                )

    def _push(
        self,
        bot_id: int,
        key: int,
        kind: str,
        body: Json,
        *,
        life_ms: int,
        after_update: int | None,
    ) -> int:
        allowed = self._bot(bot_id).get("allowed_updates")
        update_id = self._records.next_update_id(bot_id)
        if (kind in allowed) if allowed else (kind not in NOT_BY_DEFAULT):
            self._records.execute(
                "INSERT INTO updates VALUES (?, ?, ?, ?, ?, ?)",
                bot_id,
                update_id,
                key,
                self._clock_ms() + life_ms,
                after_update,
                json.dumps({"update_id": update_id, kind: body}),
            )
        return update_id

    def _confirm_below(self, bot_id: int, offset: int) -> None:
        if offset > 0:
            rows = self._records.rows(
                "SELECT update_id FROM updates WHERE bot_id = ? AND update_id < ?", bot_id, offset
            )
            for (update_id,) in rows:
                self.acknowledge(bot_id, update_id)
        if offset < 0:
            self._delete(
                """bot_id = ? AND update_id NOT IN (
                       SELECT update_id FROM updates WHERE bot_id = ?
                       ORDER BY update_id DESC LIMIT ?)""",
                bot_id,
                bot_id,
                -offset,
            )

    def _waiting(self, bot_id: int, limit: int) -> list[Json]:
        rows = self._records.rows(
            f"""SELECT body FROM updates AS waiting WHERE bot_id = ? AND {_DELIVERABLE}
                ORDER BY update_id LIMIT ?""",  # noqa: S608 (a constant)
            bot_id,
            self._clock_ms(),
            limit,
        )
        return [read_kept(row[0]) for row in rows]

    def _refuse_webhook(self, bot_id: int) -> None:
        if self._bot(bot_id).get("webhook") is not None:
            raise conflict(
                "can't use getUpdates method while webhook is active; "
                "use deleteWebhook to delete the webhook first"
            )

    def _delete(self, condition: str, *parameters: object) -> None:
        with self._records.transaction():
            self._records.execute(
                f"DELETE FROM updates WHERE {condition}",  # noqa: S608 (conditions are constants)
                *parameters,
            )

    def _bot(self, bot_id: int) -> Json:
        return self._records.bot(bot_id) or {}


_DELIVERABLE = """expires_at > ? AND (after_update IS NULL OR (
    after_update > 0 AND NOT EXISTS (
        SELECT 1 FROM updates AS ahead
        WHERE ahead.bot_id = waiting.bot_id AND ahead.update_id = waiting.after_update)))"""
