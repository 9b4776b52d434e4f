"""What the document about pushing says, the door does; and its client is taken."""

import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from rooms.push import AGE_MS_MAX, AHEAD_MS_MAX, Push
from streams.pushes import BODY_BYTES_MAX, LOOKED_AT_PER_S, PATH, PUSHES_PER_S, STATUS
from streams.signatures import is_signed, make_key
from tests.project.repository import blocks, document, rows

TEXT = document("pushing.md")


def test_every_refusal_is_shown_with_its_status() -> None:
    shown = {row[1].strip("`"): int(row[0]) for row in rows(TEXT, "Sending") if row[0].isdigit()}
    assert shown == STATUS


def test_the_bounds_are_those_that_are_shown() -> None:
    for shown in (
        f"more than {BODY_BYTES_MAX:,} bytes",
        f"more than {AGE_MS_MAX // 1000} s back",
        f"more than {AHEAD_MS_MAX // 1000} s ahead",
        f"{PUSHES_PER_S} a second of one signer for one feed, or {LOOKED_AT_PER_S} of all",
    ):
        assert shown in TEXT


def test_what_is_signed_is_shown() -> None:
    at: Any = 1_700_000_000_000
    push = Push(feed="push:rain", signer="alice", value="12.5", at=at, sequence=at)
    assert blocks(TEXT, "text")[0].strip() == push.signed_text()


def test_the_client_signs_what_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = make_key(tmp_path / "alice.pem")
    sent: list[tuple[str, dict[str, Any]]] = []

    def post(url: str, json: dict[str, Any]) -> httpx.Response:
        sent.append((url, json))
        return httpx.Response(202, request=httpx.Request("POST", url))

    monkeypatch.setattr(httpx, "post", post)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(blocks(TEXT, "python")[0], os.fspath(tmp_path / "client.py"), "exec"), names)
    names["push"]("http://place", "push:rain", "12.5")
    ((url, body),) = sent
    assert url == f"http://place{PATH}"
    signature = bytes.fromhex(body.pop("signature"))
    assert is_signed(key.public_hex, signature, Push(**body).signed_text().encode())
