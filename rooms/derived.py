"""Derived: a feed whose sources are feeds.

In        what each of its inputs is, word by word, in the order of time; an expression over them.
Out       its value now with the index price of every input, or why there is none.
Promises  silent when any input is; the same words give the same answers; what was remembered at any
          moment goes on exactly there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import isqrt
from typing import Final

from rooms.expression.form import Formula
from rooms.expression.reckoning import Exact, NoValueError, reckon, value_at_scale
from rooms.expression.tree import Leaf, Look, Past, Series, leaves_of
from rooms.expression.units import Unit
from rooms.feed import Feed, Guards
from rooms.index_price import IndexPrice, Input, Reason, Silence
from rooms.look_back import LookBack
from rooms.refusal import Refused, must
from rooms.sources import NEVER, SourcesMemory
from rooms.units import Bps, UnixMs, Value

CONDITION: Final = "condition"
"""The unit of what is true or false: 1 or 0."""

CONDITION_SCALE: Final = 0
RATIO_SCALE: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """Say how a derived feed is made.

    Attributes:
        scale: its own.
        scales: of each of its inputs, which never change.
        age_ms_max: an input that was told so long ago, by its own log's time, is unknown.
    """

    formula: Formula
    scale: int
    scales: Mapping[str, int]
    age_ms_max: int

    def __post_init__(self) -> None:
        must(set(self.formula.feeds) == set(self.scales), "every input has a scale, and no other")

    @property
    def spans(self) -> dict[str, tuple[int, ...]]:
        """Return how far back each input is looked at; one that is not has none."""
        found: dict[str, set[int]] = {feed: set() for feed in self.formula.feeds}
        for leaf in leaves_of(self.formula.tree):
            if isinstance(leaf, Past):
                found[leaf.series.feed].add(leaf.span_ms)
        return {feed: tuple(sorted(spans)) for feed, spans in found.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What an input is at a moment of its own log.

    Attributes:
        position: the offset in its log of the message that it follows from; ``nth`` in that.
        price: what it is; or ``silence``: why it is nothing; neither: it is still what it was, and
            so are its looks.
        looks: back from that moment, one a span; none in a silence.
    """

    feed: str
    position: int
    nth: int
    at: UnixMs
    price: IndexPrice | None = None
    silence: Silence | None = None
    looks: tuple[LookBack, ...] = ()


class Inputs:
    """Judge the newest word of every input; to a feed log what `rooms.sources.Sources` is.

    Attributes:
        due: the moment at which time alone may change the answer; look again then.
        value: the value now, or None.
        scattered: never, since inputs measure different things; ``strayed``: nobody.
    """

    def __init__(self, derivation: Derivation, words: Iterable[Word], at: UnixMs) -> None:
        self._derivation = derivation
        self._leaves = leaves_of(derivation.formula.tree)
        self._words = {word.feed: word for word in words}
        self._reason = Reason.INPUT_SILENT
        self._priced = 0
        self.due: int = NEVER
        self.value: Value | None = None
        self.scattered = False
        self.strayed: list[str] = []
        self.look(at)

    @property
    def words(self) -> tuple[Word, ...]:
        """Return the newest word of every input that has said one."""
        return tuple(self._words[feed] for feed in sorted(self._words))

    def memory(self) -> SourcesMemory:
        """Return nothing: what is remembered is ``words``."""
        return SourcesMemory()

    def is_new(self, word: Word) -> bool:
        """Say whether an input has not said this or something later already."""
        known = self._words.get(word.feed)
        return known is None or _place(word) > _place(known)

    def hear(self, word: Word, at: UnixMs) -> None:
        """Take a word that is new."""
        if word.price is None and word.silence is None:
            known = self._words.get(word.feed)
            if known is None:
                return
            word = replace(known, position=word.position, nth=word.nth, at=word.at)
        self._words[word.feed] = word
        self.look(at)

    def look(self, at: UnixMs) -> None:
        """Reckon anew, as time has passed."""
        feeds, age_ms_max = self._derivation.formula.feeds, self._derivation.age_ms_max
        fresh = [
            word
            for feed in feeds
            if (word := self._words.get(feed)) is not None and at - word.at <= age_ms_max
        ]
        self.due = min((word.at + age_ms_max + 1 for word in fresh), default=NEVER)
        self._priced = sum(word.price is not None for word in fresh)
        self.value = None
        if self._priced < len(feeds):
            self._reason = Reason.INPUT_SILENT
            return
        leaves = self._known_leaves()
        if leaves is None:
            self._reason = Reason.PAST_UNKNOWN
            return
        self.value = value_of(self._derivation, leaves)
        self._reason = Reason.NO_VALUE

    def close_second(self, passed: int) -> None:
        """Nothing here follows by the second."""

    def price(self, at: UnixMs) -> IndexPrice:
        """Return the index price with those of all inputs."""
        assert self.value is not None, "there is a value"
        inputs = []
        for feed in self._derivation.formula.feeds:
            word = self._words[feed]
            assert word.price is not None, "every input has a price"
            inputs.append(Input(feed, word.price, word.looks))
        return IndexPrice(self.value, at, (), (), tuple(inputs))

    def silence(self, at: UnixMs) -> Silence:
        """Return the silence with its reason: how many inputs have a price, of how many."""
        count = len(self._derivation.formula.feeds)
        return Silence(self._reason, at, self._priced, count, count)

    def _known_leaves(self) -> dict[Leaf, Exact] | None:
        """Return what every leaf is now, or None when the past of one is not known."""
        found: dict[Leaf, Exact] = {}
        for leaf in self._leaves:
            feed = leaf.feed if isinstance(leaf, Series) else leaf.series.feed
            word = self._words[feed]
            assert word.price is not None, "every input has a price"
            exact = leaf_value(leaf, word.price.value, word.looks, self._derivation.scales[feed])
            if exact is None:
                return None
            found[leaf] = exact
        return found


def leaf_value(leaf: Leaf, value: Value, looks: Iterable[LookBack], scale: int) -> Exact | None:
    """Return what a leaf is, its feed being ``value`` and its past ``looks``; None if unknown."""
    one = 10**scale
    if isinstance(leaf, Series):
        return Exact(value, one)
    look = next((look for look in looks if look.span_ms == leaf.span_ms), None)
    if look is None:
        return None
    match leaf.look:
        case Look.CHANGE:
            return Exact(value - look.then, look.then) if look.then else None
        case Look.HIGH:
            return None if look.high is None else Exact(look.high, one)
        case Look.LOW:
            return None if look.low is None else Exact(look.low, one)
        case Look.AVERAGE:
            return None if look.total is None else Exact(look.total, look.count * one)


def value_of(derivation: Derivation, leaves: Mapping[Leaf, Exact]) -> Value | None:
    """Return a derived feed's value, or None where it has none that a feed can have.

    A condition is 1 or 0. Everything else is above 0, as every price is.
    """
    try:
        exact = reckon(derivation.formula.tree, leaves)
    except NoValueError:
        return None
    value = value_at_scale(exact, derivation.scale)
    return value or (value if derivation.formula.is_condition else None)


def scale_of(formula: Formula, scales: Iterable[int]) -> int:
    """Return a derived feed's scale: that of its finest input, where it counts the same."""
    match formula.unit:
        case Unit.TRUTH:
            return CONDITION_SCALE
        case Unit.RATIO:
            return RATIO_SCALE
        case _:
            return max(scales)


def derived_feed(formula: Formula, known: Mapping[str, Feed]) -> Feed:
    """Make the feed that an expression is.

    Its inputs move independently as far as we know: their volatilities add up as squares do.

    Args:
        formula: the expression in its one form.
        known: feeds by name.

    Raises:
        Refused: when an input is not there, or nothing should be made of it.
    """
    inputs = [_input(name, known) for name in formula.feeds]
    scales = {feed.name: feed.scale for feed in inputs}
    unit = {Unit.TRUTH: CONDITION, Unit.RATIO: ""}.get(formula.unit, "USD")
    return Feed(
        name=formula.name,
        unit=unit,
        scale=scale_of(formula, scales.values()),
        symbols={},
        volatility_bps=Bps(isqrt(sum(feed.volatility_bps**2 for feed in inputs))),
        guards=Guards(quorum=len(inputs), witness=None),
        liquidity=next((feed.liquidity for feed in inputs if feed.liquidity), None),
        offered=False,
        expression=formula.text,
        inputs=scales,
    )


def _input(name: str, known: Mapping[str, Feed]) -> Feed:
    feed = known.get(name)
    if feed is None or feed.expression is not None:
        raise Refused("no_feed", f"There is no feed {name} to make this of.")
    if feed.is_thin and feed.liquidity is None:
        raise Refused("too_thin", f"{name} has too few sources to make anything of it.")
    return feed


def _place(word: Word) -> tuple[UnixMs, int, int]:
    return word.at, word.position, word.nth
