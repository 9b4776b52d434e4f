"""Intake: updates from Telegram into our database, before Telegram may forget them.

In        answers to our own asking (long polling), or requests by Telegram (webhook).
Out       stored updates; whoever handles them is woken.
Promises  Telegram hears that we have an update only after the commit that stores it; the same
          update twice is one row; a request without the secret, or too large, writes nothing.
Why       the library's own server acknowledges what is only in memory, and its own polling too.
"""

import asyncio
import hmac
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import structlog
import telegram
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from telegram import error as telegram_error
from yarl import URL

from bot.bell import Bell
from bot.redaction import storable
from bot.settings import WebhookSettings
from storage import updates
from storage.connections import Connections
from storage.updates import Update
