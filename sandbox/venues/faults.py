"""Faults: what a venue does wrong on request.

In        what it is about to publish.
Out       the same held back, twice, in another order, or spoilt.
Promises  the same requests spoil the same frames in the same way.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from sandbox.venues.session import Told

_PRICE = re.compile(
    r'("(?:p|px|price|price_str|c|vSolInBondingCurve|usdPrice|priceUsd|current_price|amount)":)'
    r'("?)([0-9.]+)"?'
)


def _with_price(spoil: str) -> Callable[[str], str]:
    """Write another price, as text or as a number as the venue does; ``{}`` is the right one."""
    return lambda text: _PRICE.sub(
        lambda found: f"{found[1]}{found[2]}{spoil.format(found[3])}{found[2]}", text
    )


def _with_value(value: str) -> Callable[[str], str]:
    return lambda text: _PRICE.sub(lambda found: f"{found[1]}{value}", text)


SPOILERS: tuple[Callable[[str], str], ...] = (
    lambda text: text[: len(text) // 2],
    _with_price("0"),
    _with_price("-{}"),
    _with_price("NaN"),
    _with_price("1e9"),
    _with_price("9999{}"),
    _with_value("null"),
    _with_value("true"),
    _with_value("[]"),
    lambda _: "",
    lambda _: "[]",
    lambda _: "<html>502 Bad Gateway</html>",
    lambda text: text.replace('"', "'"),
    lambda _: '{"x":' * 2_000,
    lambda text: text[:-1],
)


class Faults:
    """One venue's faults, now."""

    def __init__(self) -> None:
        self._spoil_count = 0
        self._spoilt = 0
        self._throttled_until = self._doubled_until = self._reordered_until = 0
        self._held: list[Told] = []

    def spoil(self, count: int) -> None:
        """Spoil the next so many frames."""
        self._spoil_count += count

    def throttle(self, until_at: int) -> None:
        """Hold everything back until then, and send it all at once."""
        self._throttled_until = until_at

    def duplicate(self, until_at: int) -> None:
        """Send everything twice."""
        self._doubled_until = until_at

    def reorder(self, until_at: int) -> None:
        """Send frames in pairs, the later one first."""
        self._reordered_until = until_at

    def is_throttled(self, now: int) -> bool:
        """Say whether everything is held back now."""
        return now < self._throttled_until

    def spoilt(self, told: Iterable[Told]) -> list[Told]:
        """Return what is sent, some of it spoilt."""
        return [self._spoil(each) for each in told]

    def apply(self, published: Iterable[Told], now: int) -> list[Told]:
        """Return what is really sent now."""
        told = [*self._held, *published]
        self._held = []
        if now < self._throttled_until:
            self._held = told
            return []
        if now < self._reordered_until:
            if len(told) % 2:
                self._held = [told.pop()]
            told = [each for pair in zip(told[1::2], told[::2], strict=True) for each in pair]
        if now < self._doubled_until:
            told = [each for each in told for _ in range(2)]
        return self.spoilt(told)

    def _spoil(self, told: Told) -> Told:
        if not self._spoil_count:
            return told
        self._spoil_count -= 1
        spoil = SPOILERS[self._spoilt % len(SPOILERS)]
        self._spoilt += 1
        return replace(told, text=spoil(told.text))
