"""Entities: Telegram's HTML into plain text and the stretches that are marked in it.

In        text with ``<b>``, ``<a href>``, ``<code>``, ``<pre>``, ``<blockquote>`` and the like.
Out       plain text, trimmed, and entities whose offsets count UTF-16 units; commands, links
          and mentions that stand in plain text are found too.
Promises  a tag that Telegram would refuse is refused with its words and its byte offset.
"""

import html
import re
from typing import Any

from sandbox.telegram.refusals import BotApiError, bad_request

Entity = dict[str, Any]

KIND_BY_TAG = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
    "span": "spoiler",
    "a": "text_link",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "tg-emoji": "custom_emoji",
}

_TAG = re.compile(
    r"""<(?P<end>/?)(?P<name>[a-zA-Z0-9-]+)
    (?P<attributes>(?:\s+[a-zA-Z-]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'>]+))?)*)\s*>""",
    re.VERBOSE,
)
_ATTRIBUTE = re.compile(r"""([a-zA-Z-]+)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+))?""")
_CHARACTER = re.compile(r"&(?:#x[0-9a-fA-F]+|#[0-9]+|lt|gt|amp|quot);?")
_PLAIN = (
    ("url", re.compile(r"\bhttps?://[^\s<>\"]+[^\s<>\".,;:!?)]")),
    ("bot_command", re.compile(r"(?<![\w/<>:.])/[A-Za-z0-9_]{1,64}(?:@\w{3,32})?(?![\w/])")),
    ("mention", re.compile(r"(?<![\w@/])@[A-Za-z]\w{3,31}(?!\w)")),
)


def utf16_length(text: str) -> int:
    """Count the UTF-16 units of a text, as Telegram's offsets do."""
    return len(text) + sum(character > "\uffff" for character in text)


def utf16_slice(text: str, entity: Entity) -> str:
    """Cut out the stretch of a text that an entity marks."""
    start, length = int(entity["offset"]), int(entity["length"])
    return text.encode("utf-16-le")[start * 2 : (start + length) * 2].decode("utf-16-le", "replace")


def read_text(source: str, parse_mode: str | None) -> tuple[str, list[Entity]]:
    """Read what a bot or a person wrote into trimmed text and all its entities."""
    mode = (parse_mode or "").lower()
    if mode == "html":
        text, entities = parse_html(source)
    elif mode in {"", "none"}:
        text, entities = source, []
    else:
        raise bad_request("unsupported parse_mode")
    text, entities = trim(text, entities)
    entities += _plain_entities(text, entities)
    return text, sorted(entities, key=lambda entity: (entity["offset"], -entity["length"]))


def trim(text: str, entities: list[Entity]) -> tuple[str, list[Entity]]:
    """Take the white space off both ends and move the entities along."""
    cut = utf16_length(text) - utf16_length(text.lstrip())
    text = text.strip()
    end = utf16_length(text)
    kept = []
    for entity in entities:
        start = max(entity["offset"] - cut, 0)
        stop = min(entity["offset"] + entity["length"] - cut, end)
        if stop > start:
            kept.append({**entity, "offset": start, "length": stop - start})
    return text, kept


def parse_html(source: str) -> tuple[str, list[Entity]]:
    """Read Telegram's HTML into text and entities, or refuse it as Telegram does."""
    text: list[str] = []
    length = 0
    entities: list[Entity] = []
    open_tags: list[tuple[str, Entity]] = []
    at = 0
    while at < len(source):
        if source[at] == "<":
            tag = _TAG.match(source, at)
            if tag is None:
                raise _bad_tag(source, at)
            if tag["end"]:
                _close(source, at, tag["name"].lower(), length, open_tags, entities)
            else:
                open_tags.append(_open(source, at, tag, length))
            at = tag.end()
            continue
        character = _CHARACTER.match(source, at) if source[at] == "&" else None
        piece = html.unescape(character[0]) if character else source[at]
        at = character.end() if character else at + 1
        text.append(piece)
        length += utf16_length(piece)
    if open_tags:
        name = open_tags[-1][0]
        raise _cannot_parse(f'Can\'t find end tag corresponding to start tag "{name}"')
    return "".join(text), _merge_code_blocks(entities)


def _open(source: str, at: int, tag: re.Match[str], offset: int) -> tuple[str, Entity]:
    name = tag["name"].lower()
    if name not in KIND_BY_TAG:
        raise _unsupported(source, at, name)
    attributes = {
        title.lower(): html.unescape(value.strip("\"'"))
        for title, value in _ATTRIBUTE.findall(tag["attributes"])
    }
    entity: Entity = {"type": KIND_BY_TAG[name], "offset": offset}
    if name == "span" and attributes.get("class") != "tg-spoiler":
        raise _cannot_parse(f'Tag "span" must have class "tg-spoiler" at {_where(source, at)}')
    if name == "a" and attributes.get("href"):
        entity["url"] = attributes["href"]
    if name == "code" and attributes.get("class", "").startswith("language-"):
        entity["language"] = attributes["class"].removeprefix("language-")
    if name == "blockquote" and "expandable" in attributes:
        entity["type"] = "expandable_blockquote"
    if name == "tg-emoji":
        entity["custom_emoji_id"] = attributes.get("emoji-id", "")
    return name, entity


def _close(
    source: str,
    at: int,
    name: str,
    offset: int,
    open_tags: list[tuple[str, Entity]],
    entities: list[Entity],
) -> None:
    if not open_tags:
        raise _cannot_parse(f"Unexpected end tag at {_where(source, at)}")
    expected, entity = open_tags.pop()
    if name != expected:
        raise _cannot_parse(
            f"Unmatched end tag at {_where(source, at)}, "
            f'expected "</{expected}>", found "</{name}>"'
        )
    entity["length"] = offset - entity["offset"]
    linkless = entity["type"] == "text_link" and "url" not in entity
    if entity["length"] > 0 and not linkless:
        entities.append(entity)


def _merge_code_blocks(entities: list[Entity]) -> list[Entity]:
    kept: list[Entity] = []
    blocks = {(e["offset"], e["length"]): e for e in entities if e["type"] == "pre"}
    for entity in entities:
        block = blocks.get((entity["offset"], entity["length"]))
        if entity["type"] == "code" and block is not None:
            if "language" in entity:
                block["language"] = entity["language"]
            continue
        if entity["type"] == "code":
            entity.pop("language", None)
        kept.append(entity)
    return kept


def _plain_entities(text: str, marked: list[Entity]) -> list[Entity]:
    taken = [
        (entity["offset"], entity["offset"] + entity["length"])
        for entity in marked
        if entity["type"] in {"code", "pre", "text_link"}
    ]
    found: list[Entity] = []
    for kind, pattern in _PLAIN:
        for match in pattern.finditer(text):
            start = utf16_length(text[: match.start()])
            stop = start + utf16_length(match[0])
            if all(stop <= low or start >= high for low, high in taken):
                taken.append((start, stop))
                found.append({"type": kind, "offset": start, "length": stop - start})
    return found


def _bad_tag(source: str, at: int) -> BotApiError:
    name = re.split(r"[\s>]", source[at + 1 :], maxsplit=1)[0].lstrip("/").lower()
    if name not in KIND_BY_TAG:
        return _unsupported(source, at, name)
    return _cannot_parse(f'Unclosed start tag "{name}" at {_where(source, at)}')


def _unsupported(source: str, at: int, name: str) -> BotApiError:
    return _cannot_parse(f'Unsupported start tag "{name}" at {_where(source, at)}')


def _where(source: str, at: int) -> str:
    return f"byte offset {len(source[:at].encode())}"


def _cannot_parse(reason: str) -> BotApiError:
    return bad_request(f"can't parse entities: {reason}")
