"""Contents: what a message says, read from a call.

In        text or caption, with ``parse_mode`` or with entities.
Out       the fields of a Bot API Message.
Promises  at most 4096 characters of text, 1024 of caption and 100 entities, counted after entities
          were read.
"""

from typing import Any

from sandbox.telegram.chats import TEXT_MAX
from sandbox.telegram.entities import Entity, read_text, trim
from sandbox.telegram.parameters import Parameters
from sandbox.telegram.records import Json
from sandbox.telegram.refusals import bad_request

CAPTION_MAX = 1024
ENTITIES_MAX = 100


def read_content(parameters: Parameters) -> Json:
    """Read the text of a message and how its link is to be shown."""
    text, entities = _read(parameters.values, "text", "entities")
    if not text:
        raise bad_request("message text is empty")
    if len(text) > TEXT_MAX or len(entities) > ENTITIES_MAX:
        raise bad_request("message is too long")
    content: Json = {"text": text}
    if entities:
        content["entities"] = entities
    preview = parameters.json("link_preview_options")
    if parameters.flag("disable_web_page_preview"):
        preview = {"is_disabled": True}
    if preview:
        content["link_preview_options"] = preview
    return content


def read_caption(values: dict[str, Any]) -> Json:
    """Read the caption of a photo or document."""
    text, entities = _read(values, "caption", "caption_entities")
    if len(text) > CAPTION_MAX or len(entities) > ENTITIES_MAX:
        raise bad_request("message caption is too long")
    content: Json = {"caption": text} if text else {}
    return content | ({"caption_entities": entities} if entities else {})


def _read(values: dict[str, Any], name: str, entities_name: str) -> tuple[str, list[Entity]]:
    source = values.get(name)
    text = source if isinstance(source, str) else ""
    given = Parameters(values).json(entities_name)
    if not values.get("parse_mode") and isinstance(given, list):
        for entity in given:
            if not _is_entity(entity):
                raise bad_request("can't parse MessageEntity")
        return trim(text, given)
    return read_text(text, values.get("parse_mode"))


def _is_entity(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("type"), str)
        and isinstance(value.get("offset"), int)
        and isinstance(value.get("length"), int)
        and value["offset"] >= 0
    )
