"""What docs/adding-a-source.md asks of every source, so that nothing of it can be left out."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

import streams.feeds
from cli.embedded import ASKED as EMBEDDED_ASKED
from cli.embedded import KEYED
from cli.embedded import SOURCES as EMBEDDED_SOCKETS
from rooms.catalogue import CATALOGUE
from sandbox.venues.spoken import ANSWERED, SPOKEN
from streams.feeds.conversion import rate_of
from streams.feeds.poll import Poll
from streams.feeds.sources import POLLS, SOCKETS, SOURCES
from streams.feeds.venue import DOLLAR, Accepted, Denied, Trade, Venue
from tests.feeds.meanings import ASKED, BROKEN, MEANINGS, READ_AGAIN, SUBSCRIBED, WRONG
from tests.feeds.recordings import recorded

HERE = Path(streams.feeds.__file__).parent
CODE_LINES_MAX = 99
WRONG_MIN = 3

every_source = pytest.mark.parametrize("name", sorted(SOURCES))


def described(path: Path) -> list[str]:
    """Name the sources that a file describes."""
    module = import_module(f"streams.feeds.{path.stem}")
    return [
        each.name
        for each in vars(module).values()
        if isinstance(each, Venue | Poll) and path.stem == each.name
    ]


def code_lines(path: Path) -> int:
    """Count the lines of a file that are neither blank nor its card."""
    text = path.read_text(encoding="utf-8")
    card = ast.parse(text).body[0].end_lineno or 0
    return sum(bool(line.strip()) for line in text.splitlines()[card:])


def test_every_file_that_describes_a_source_is_in_the_list() -> None:
    told = [name for path in sorted(HERE.glob("*.py")) for name in described(path)]
    assert sorted(told) == sorted(SOURCES)
    assert set(SOURCES) == {*SOCKETS, *POLLS}


@every_source
def test_a_source_is_one_file_of_less_than_a_hundred_lines(name: str) -> None:
    assert code_lines(HERE / f"{name}.py") <= CODE_LINES_MAX


@every_source
def test_a_source_has_frames_and_each_has_a_meaning(name: str) -> None:
    assert len(MEANINGS[name]) == len(recorded(name)) > 0
    kinds = {type(heard) for frame in MEANINGS[name] for heard in frame}
    assert Trade in kinds
    if name in SOCKETS:
        assert {Accepted, Denied} <= kinds


@every_source
def test_a_source_is_asked_broken_and_read_again(name: str) -> None:
    assert ASKED[name]
    assert SUBSCRIBED[name]
    assert BROKEN[name]
    assert sum(source == name for source, *_ in WRONG) >= WRONG_MIN
    assert name in READ_AGAIN


@every_source
def test_a_source_has_another_end_in_the_sandbox(name: str) -> None:
    if name in SOCKETS:
        assert EMBEDDED_SOCKETS[name] in SPOKEN[name].paths or name == "binance"
        wants = [SPOKEN[name].key_header, SPOKEN[name].key_query]
    else:
        assert name in EMBEDDED_ASKED
        wants = [ANSWERED[name].key_header]
    assert (name in KEYED) == SOURCES[name].needs_key
    assert any(wants) == SOURCES[name].needs_key


@every_source
def test_what_a_source_is_quoted_in_is_a_feed_of_the_catalogue(name: str) -> None:
    quote = SOURCES[name].quote
    assert quote == DOLLAR or rate_of(quote) in CATALOGUE
