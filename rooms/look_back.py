"""Look back: what an expression asks of a feed's past, kept in steps of time.

In        a feed's seconds as they are closed; the index prices told since the last one.
Out       over the last so many minutes: the lowest, the highest, the average, the value then.
Promises  the same whether it was followed all along or read from the stored seconds; a step without
          a price makes what needs it unknown, never a guess; at most so many steps a look back.
Why       a day of single seconds would be read and searched again and again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rooms.units import UnixMs, Value

STEPS_MAX: Final = 240
STEP_MS_MIN: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a feed was in one step.

    Attributes:
        number: the step's beginning over its length.
        last: the last price with which a second of it ended; None when all ended in silence.
    """

    number: int
    low: Value
    high: Value
    last: Value | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LookBack:
    """What a feed was over the last ``span_ms``, up to a moment and with its price then.

    Attributes:
        low: the lowest price; None, as are high and total, when a step had no price.
        high: the highest.
        total: the last prices of all steps together; ``count``: how many.
        then: the last price of the step that ran so long ago; None when it had none.
    """

    span_ms: int
    low: Value | None
    high: Value | None
    total: int | None
    count: int
    then: Value | None


def step_ms_of(span_ms: int) -> int:
    """Return the length of a step of a look back: whole seconds, as short as they may be."""
    return max(STEP_MS_MIN, -(-span_ms // (STEPS_MAX * 1000)) * 1000)


class Steps:
    """Keep the steps of one look back.

    Attributes:
        is_whole: whether what was stored before is known too.
    """

    def __init__(self, span_ms: int) -> None:
        self.span_ms = span_ms
        self.step_ms = step_ms_of(span_ms)
        self.is_whole = False
        self._steps: dict[int, Step] = {}
        self._low: Value | None = None
        self._high: Value | None = None

    def note(self, value: Value) -> None:
        """Note an index price of the second that runs."""
        self._low = value if self._low is None else min(self._low, value)
        self._high = value if self._high is None else max(self._high, value)

    def close(
        self, second_at: UnixMs, low: Value | None, high: Value | None, last: Value | None
    ) -> None:
        """Take a second that is closed; twice is once."""
        self._low = self._high = None
        if low is None or high is None:
            return
        number = second_at // self.step_ms
        known = self._steps.get(number)
        if known is None:
            self._forget(number)
            self._steps[number] = Step(number=number, low=low, high=high, last=last)
        else:
            self._steps[number] = Step(
                number=number,
                low=min(known.low, low),
                high=max(known.high, high),
                last=known.last if last is None else last,
            )

    def read(self, stored: Iterable[Step]) -> None:
        """Take what was stored before; what was followed meanwhile is later."""
        for step in stored:
            later = self._steps.get(step.number)
            if later is not None:
                step = Step(
                    number=step.number,
                    low=min(step.low, later.low),
                    high=max(step.high, later.high),
                    last=step.last if later.last is None else later.last,
                )
            self._steps[step.number] = step
        self.is_whole = True

    def look(self, at: UnixMs, value: Value) -> LookBack:
        """Look back from a moment at which the index price is ``value``."""
        newest, oldest = at // self.step_ms, (at - self.span_ms) // self.step_ms
        then = self._steps.get(oldest) if self.is_whole else None
        between = [self._steps.get(number) for number in range(oldest + 1, newest)]
        known = [step for step in between if step is not None]
        covered = self.is_whole and len(known) == len(between)
        lasts = [step.last for step in known if step.last is not None]
        now = self._steps.get(newest)
        lows = [value, *(step.low for step in known), *((now.low,) if now else ())]
        highs = [value, *(step.high for step in known), *((now.high,) if now else ())]
        return LookBack(
            span_ms=self.span_ms,
            low=min(*lows, self._low or value) if covered else None,
            high=max(*highs, self._high or value) if covered else None,
            total=sum(lasts) + value if covered and len(lasts) == len(between) else None,
            count=len(between) + 1,
            then=then.last if then else None,
        )

    def _forget(self, newest: int) -> None:
        """Forget, seldom, what no look back reaches any more."""
        reach = self.span_ms // self.step_ms + 2
        if len(self._steps) > 2 * reach:
            self._steps = {
                number: step for number, step in self._steps.items() if number >= newest - reach
            }
