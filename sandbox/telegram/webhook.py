"""Webhook: carries updates to the address a bot has set, as Telegram does.

In        updates that wait; what the bot's server answers.
Out       one POST for each update, with the secret in its header.
Promises  one update in flight for each queue and none lost: an update goes again until it is
          answered with 2xx or too old, first at once, then after 2, 4, 8 … seconds.
Why       a server that is down must not hear a storm when it comes back, so delays grow up to a
          minute or two; other queues flow on meanwhile.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from random import Random

import httpx
import structlog

from sandbox.telegram.bell import Bell
from sandbox.telegram.parameters import Parameters
from sandbox.telegram.profiles import Profiles
from sandbox.telegram.records import Json, Records
from sandbox.telegram.refusals import BotApiError
from sandbox.telegram.spoken import read_json
from sandbox.telegram.updates import Pending, Updates

ANSWER_WITHIN_S = 60
RETRY_AFTER_S_MAX = 3600
GONE_FOR_MS = 23 * 3600 * 1000
LOOK_AGAIN_MS = 60_000
NEVER_BY_REPLY = {"setwebhook", "deletewebhook", "close", "logout"}

_log = structlog.get_logger()


def retry_delay_ms(failures: int, first_ms: int, random: Random) -> int:
    """Name how long to wait after so many failures: nothing, then doubling up to 60 to 120 s."""
    if failures <= 1:
        return 0
    return min(first_ms << min(failures - 2, 16), random.randrange(60_000, 120_001))


class WebhookDelivery:
    """Carry the waiting updates of all bots that have set a webhook."""

    def __init__(
        self,
        records: Records,
        updates: Updates,
        profiles: Profiles,
        bell: Bell,
        clock_ms: Callable[[], int],
        random: Random,
        *,
        retry_first_ms: int,
        call_method: Callable[[int, str, Parameters], Awaitable[object]],
    ) -> None:
        self._records = records
        self._updates = updates
        self._profiles = profiles
        self._bell = bell
        self._clock_ms = clock_ms
        self._random = random
        self._retry_first_ms = retry_first_ms
        self._call_method = call_method
        self._in_flight: set[tuple[int, int]] = set()
        self._gone_since: dict[str, int] = {}

    async def run(self) -> None:
        """Deliver until the bell is closed."""
        async with (
            httpx.AsyncClient(timeout=ANSWER_WITHIN_S, trust_env=False) as client,
            asyncio.TaskGroup() as tasks,
        ):
            while not self._bell.closed:
                self._updates.drop_expired()
                for bot_id in self._records.bot_ids_with_webhook():
                    for key in self._ready_keys(bot_id):
                        self._in_flight.add((bot_id, key))
                        tasks.create_task(self._empty_queue(client, bot_id, key))
                await self._bell.wait(LOOK_AGAIN_MS)

    def _ready_keys(self, bot_id: int) -> list[int]:
        webhook = self._webhook(bot_id)
        if webhook is None:
            return []
        busy = {key for bot, key in self._in_flight if bot == bot_id}
        free = webhook["max_connections"] - len(busy)
        return [key for key in self._updates.keys(bot_id) if key not in busy][: max(free, 0)]

    async def _empty_queue(self, client: httpx.AsyncClient, bot_id: int, key: int) -> None:
        try:
            while (webhook := self._webhook(bot_id)) and not self._bell.closed:
                update = self._updates.first(bot_id, key)
                if update is None:
                    return
                await self._deliver(client, bot_id, webhook, update)
        finally:
            self._in_flight.discard((bot_id, key))
            self._bell.ring()

    async def _deliver(
        self, client: httpx.AsyncClient, bot_id: int, webhook: Json, update: Pending
    ) -> None:
        failures = 0
        while self._clock_ms() < update.expires_at and self._still(bot_id, webhook):
            response = await self._post(client, webhook, update)
            if isinstance(response, httpx.Response) and response.is_success:
                self._updates.acknowledge(bot_id, update.update_id)
                await self._do_reply(bot_id, response)
                return
            failures += 1
            wait_ms = retry_delay_ms(failures, self._retry_first_ms, self._random)
            if isinstance(response, httpx.Response):
                reason = f"Wrong response from the webhook: {response.status_code}"
                wait_ms = _asked_delay_ms(response, wait_ms)
                self._note_gone(bot_id, webhook, response)
            else:
                reason = response
            self._profiles.webhook_errors[bot_id] = {
                "last_error_date": self._clock_ms() // 1000,
                "last_error_message": reason,
            }
            _log.info(
                "update_not_taken", update_id=update.update_id, reason=reason, wait_ms=wait_ms
            )
            due = min(self._clock_ms() + wait_ms, update.expires_at)
            while self._clock_ms() < due and self._still(bot_id, webhook):
                await self._bell.wait(due - self._clock_ms())

    async def _post(
        self, client: httpx.AsyncClient, webhook: Json, update: Pending
    ) -> httpx.Response | str:
        headers = {"Content-Type": "application/json"}
        if webhook["secret_token"]:
            headers["X-Telegram-Bot-Api-Secret-Token"] = webhook["secret_token"]
        try:
            return await client.post(
                webhook["url"], content=json.dumps(update.body), headers=headers
            )
        except httpx.TimeoutException:
            return "Read timeout expired"
        except httpx.ConnectError:
            return "Connection refused"
        except httpx.HTTPError:
            return "Connection closed"

    async def _do_reply(self, bot_id: int, response: httpx.Response) -> None:
        try:
            values = read_json(response.content)
        except ValueError:
            return
        if not isinstance(values, dict) or not isinstance(values.get("method"), str):
            return
        method = values["method"].lower()
        if method.startswith("get") or method in NEVER_BY_REPLY:
            return
        try:
            await self._call_method(bot_id, method, Parameters(values))
        except BotApiError as error:
            # A bot never sees what became of a reply; neither does ours.
            _log.info("reply_refused", method=method, reason=error.description)

    def _note_gone(self, bot_id: int, webhook: Json, response: httpx.Response) -> None:
        url = webhook["url"]
        if response.status_code != httpx.codes.GONE:
            self._gone_since.pop(url, None)
        elif self._clock_ms() - self._gone_since.setdefault(url, self._clock_ms()) > GONE_FOR_MS:
            self._profiles.change(bot_id, webhook=None)

    def _still(self, bot_id: int, webhook: Json) -> bool:
        return not self._bell.closed and self._webhook(bot_id) == webhook

    def _webhook(self, bot_id: int) -> Json | None:
        webhook: Json | None = self._profiles.bot(bot_id).get("webhook")
        return webhook


def _asked_delay_ms(response: httpx.Response, otherwise_ms: int) -> int:
    asked = response.headers.get("retry-after", "")
    return min(int(asked), RETRY_AFTER_S_MAX) * 1000 if asked.isdigit() else otherwise_ms
