"""Texts, keyboards, parameters and pictures are read exactly as Telegram reads them."""

import html
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.telegram.base58 import find_address, is_address
from sandbox.telegram.entities import parse_html, read_text, utf16_length, utf16_slice
from sandbox.telegram.markup import read_markup
from sandbox.telegram.parameters import read_multipart
from sandbox.telegram.pictures import read_picture
from sandbox.telegram.refusals import BotApiError

TEXTS = [
    # HTML, text, entities as (type, marked text)
    ("<b>a</b> b", "a b", [("bold", "a")]),
    ("<strong>a</strong><em>b</em>", "ab", [("bold", "a"), ("italic", "b")]),
    ("<b>a<i>b</i></b>", "ab", [("bold", "ab"), ("italic", "b")]),
    ("1 &lt; 2 &amp;&amp; &quot;x&quot; &#33;", '1 < 2 && "x" !', []),
    ("&nbsp; &copy;", "&nbsp; &copy;", []),
    ("🎈<code>x</code>", "🎈x", [("code", "x")]),
    ("<a href='https://e.org/?a=1&amp;b=2'>e</a>", "e", [("text_link", "e")]),
    ("<pre><code class=\"language-py\">x\n</code></pre>y", "x\ny", [("pre", "x\n")]),
    ('<span class="tg-spoiler">s</span>', "s", [("spoiler", "s")]),
    ("<blockquote expandable>q</blockquote>", "q", [("expandable_blockquote", "q")]),
    ("<b></b>x", "x", []),
    ("  <b> x </b>\n", "x", [("bold", "x")]),
    ("go /start@rooms_bot now", "go /start@rooms_bot now", [("bot_command", "/start@rooms_bot")]),
    ("see https://e.org/a.", "see https://e.org/a.", [("url", "https://e.org/a")]),
    ("<code>/start</code>", "/start", [("code", "/start")]),
    ("1/2 and a/b", "1/2 and a/b", []),
]  # fmt: skip

REFUSED_TEXTS = [
    ("<b>x", 'Can\'t find end tag corresponding to start tag "b"'),
    ("x</b>", "Unexpected end tag at byte offset 1"),
    ("é<b>x</i>", 'Unmatched end tag at byte offset 6, expected "</b>", found "</i>"'),
    ("<h1>x</h1>", 'Unsupported start tag "h1" at byte offset 0'),
    ("a < b", 'Unsupported start tag "" at byte offset 2'),
    ("a <b", 'Unclosed start tag "b" at byte offset 2'),
]


@pytest.mark.parametrize(("source", "text", "entities"), TEXTS)
def test_html_becomes_text_and_entities(
    source: str, text: str, entities: list[tuple[str, str]]
) -> None:
    read, marks = read_text(source, "HTML")
    assert read == text
    assert [(mark["type"], utf16_slice(read, mark)) for mark in marks] == entities


@pytest.mark.parametrize(("source", "reason"), REFUSED_TEXTS)
def test_html_that_telegram_cannot_parse_is_refused_in_its_words(source: str, reason: str) -> None:
    with pytest.raises(BotApiError) as refused:
        parse_html(source)
    assert refused.value.description == f"Bad Request: can't parse entities: {reason}"


def test_code_in_a_block_keeps_its_language_and_links_their_address() -> None:
    _, (block,) = parse_html('<pre><code class="language-py">x</code></pre>')
    assert block == {"type": "pre", "offset": 0, "length": 1, "language": "py"}
    _, (link,) = parse_html('<a href="https://e.org/?a=1&amp;b=2">e</a>')
    assert link["url"] == "https://e.org/?a=1&b=2"


@given(st.text(), st.text(min_size=1))
def test_escaped_text_is_read_back_and_marks_count_utf16_units(before: str, marked: str) -> None:
    text, entities = parse_html(f"{html.escape(before)}<b>{html.escape(marked)}</b>")
    assert text == before + marked
    assert entities == [
        {"type": "bold", "offset": utf16_length(before), "length": utf16_length(marked)}
    ]
    assert utf16_slice(text, entities[0]) == marked


@given(st.text(alphabet="ab <>/&;=\"'🎈"))
def test_any_text_is_read_or_refused(source: str) -> None:
    try:
        text, entities = read_text(source, "HTML")
    except BotApiError as refused:
        assert refused.code == 400
        return
    assert all(entity["offset"] + entity["length"] <= utf16_length(text) for entity in entities)


REFUSED_KEYBOARDS: list[tuple[Any, str]] = [
    ("x", "object expected as reply markup"),
    ({"inline_keyboard": [{"text": "x"}]}, "must be an Array of Arrays"),
    ({"inline_keyboard": [[{"text": "x"}]]}, "Text buttons are unallowed"),
    ({"inline_keyboard": [[{"text": "x", "callback_data": ""}]]}, "BUTTON_DATA_INVALID"),
    ({"inline_keyboard": [[{"text": "x", "callback_data": "x" * 65}]]}, "BUTTON_DATA_INVALID"),
    ({"inline_keyboard": [[{"text": "x", "url": "javascript:x"}]]}, "Wrong HTTP URL"),
    ({"inline_keyboard": [[{"text": "x", "url": "http://intranet/"}]]}, "Wrong HTTP URL"),
    ({"inline_keyboard": [[{"text": "x", "web_app": {"url": "http://e.org"}}]]}, "Only HTTPS"),
    ({"inline_keyboard": [[{"text": "x", "copy_text": {"text": ""}}]]}, "COPY_TEXT"),
    ({"inline_keyboard": [[{"text": "x", "callback_data": "x", "style": "pink"}]]}, "style"),
    ({"inline_keyboard": [[{"text": "x", "callback_data": "x"}]] * 101}, "TOO_LONG"),
]  # fmt: skip


@pytest.mark.parametrize(("markup", "reason"), REFUSED_KEYBOARDS)
def test_a_keyboard_that_telegram_refuses_is_refused(markup: object, reason: str) -> None:
    with pytest.raises(BotApiError, match=reason):
        read_markup(markup)


def test_keyboards_at_their_limits_are_taken() -> None:
    fullest = {"inline_keyboard": [[{"text": "x", "callback_data": "x" * 64}]] * 100}
    assert read_markup(fullest).inline == fullest
    local = {"inline_keyboard": [[{"text": "x", "web_app": {"url": "http://127.0.0.1:8/pin"}}]]}
    assert read_markup(local).inline == local
    assert read_markup({"keyboard": [["a"]]}).keyboard == {"keyboard": [[{"text": "a"}]]}
    assert read_markup({"inline_keyboard": []}).inline is None


@given(st.binary(max_size=200), st.text(max_size=20))
def test_multipart_gives_back_every_byte(content: bytes, text: str) -> None:
    boundary = "b0undary-that-is-in-no-content"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="text"\r\n\r\n'.encode()
        + text.encode()
        + f"\r\n--{boundary}\r\nContent-Disposition: form-data; "
        f'name="photo"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'.encode()
        + content
        + f"\r\n--{boundary}--\r\n".encode()
    )
    fields, uploads = read_multipart(body, boundary)
    assert fields == {"text": text}
    assert uploads["photo"].content == content
    assert uploads["photo"].name == "a.png"


def test_picture_sizes_are_read_from_the_first_bytes() -> None:
    gif = b"GIF89a" + (7).to_bytes(2, "little") + (9).to_bytes(2, "little")
    jpeg = bytes.fromhex("ffd8 ffe0 0004 0000 ffc0 0011 08 0009 0007 03")
    for content, kind in ((gif, "gif"), (jpeg, "jpg")):
        picture = read_picture(content)
        assert picture is not None
        assert (picture.kind, picture.width, picture.height) == (kind, 7, 9)
    assert read_picture(b"\xff\xd8\xff") is None
    assert read_picture(b"") is None


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("7Np41oeYqPefeNQEHSv1UDhYrehxin3NStELsSKCT4K2", True),
        ("1" * 32, True),
        ("1" * 33, False),
        ("1" + "z" * 43, False),
        ("0Np41oeYqPefeNQEHSv1UDhYrehxin3NStELsSKCT4K2", False),
        ("z" * 44, False),
    ],
)
def test_an_address_is_the_base58_of_32_bytes(text: str, *, address: bool) -> None:
    assert is_address(text) is address
    message = {
        "text": f"é {text}",
        "entities": [{"type": "code", "offset": 2, "length": len(text)}],
    }
    assert find_address(message) == (text if address else None)
    assert find_address({"text": text}) is None
