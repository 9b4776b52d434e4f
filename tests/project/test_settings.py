"""`docs/settings.md` has every setting with its default, and nothing that is not one."""

import json
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from cli.embedded import RELAXED
from cli.settings import PREFIX, Settings, read_settings_from
from tests.project.repository import document, rows

TEXT = document("settings.md")
OTHERWISE = "What `rooms up` sets otherwise"


def shown_as(value: object) -> str:
    """Write a default as a person writes it into a variable."""
    match value:
        case None:
            return "not set"
        case SecretStr():
            return shown_as(value.get_secret_value())
        case "":
            return "empty"
        case str() | Path() | int():
            return f"`{value}`"
        case tuple() if all(isinstance(each, SecretStr) for each in value):
            return shown_as([each.get_secret_value() for each in value])
        case _:
            return f"`{json.dumps(value, separators=(',', ':'))}`"


def defaults(value: object, name: str = PREFIX.rstrip("_")) -> dict[str, str]:
    """Return the variable of each setting with its default."""
    separator = "_" if name == PREFIX.rstrip("_") else "__"
    if isinstance(value, Settings):
        inner: dict[str, Any] = {each: getattr(value, each) for each in Settings.model_fields}
    elif is_dataclass(value):
        inner = {each.name: getattr(value, each.name) for each in fields(value)}
    else:
        return {name: shown_as(value)}
    found: dict[str, str] = {}
    for each, one in inner.items():
        found |= defaults(one, f"{name}{separator}{each.upper()}")
    return found


def documented() -> dict[str, str]:
    text = TEXT.partition(f"## {OTHERWISE}")[0]
    return {row[0].strip("`"): row[1] for row in rows(text)}


def test_every_setting_is_there_with_its_default() -> None:
    assert documented() == defaults(read_settings_from({}))


@pytest.mark.parametrize("name", sorted(documented()))
def test_a_documented_variable_is_read(name: str) -> None:
    default = documented()[name]
    if not default.startswith("`"):
        default = "7" if default == "not set" else ""
    read_settings_from({name: default.strip("`")})


def test_what_rooms_up_sets_otherwise_is_what_it_sets() -> None:
    shown = {row[0].strip("`"): row[1].strip("`") for row in rows(TEXT, OTHERWISE)}
    assert shown == {f"{PREFIX}{name}": value for name, value in RELAXED.items()}


def test_secrets_are_named_as_such_and_do_not_show() -> None:
    hush = {SecretStr: "hush", dict[str, SecretStr]: '{"pyth":"hush"}'}
    secret = {
        f"{PREFIX}{name.upper()}": hush[field.annotation]
        for name, field in Settings.model_fields.items()
        if field.annotation in hush
    }
    secret["ROOMS_DATABASE_URL"] = "postgresql://rooms:hush@127.0.0.1/rooms"
    secret["ROOMS_REDIS_URL"] = "redis://:hush@127.0.0.1/0"
    assert {row[0].strip("`") for row in rows(TEXT) if row[2].endswith("; secret")} == set(secret)
    shown = repr(read_settings_from(secret))
    assert not re.search("hush", shown)
