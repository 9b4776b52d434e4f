"""Ring: the newest frames of a series, for subscribers that each have their own place in it.

In        frames with rising numbers.
Out       the frames after a place; up to which number frames are gone.
Promises  it holds the newest ``kept`` frames at least and twice that at most, whoever is slow.
Why       a place is an index, not a copy: a thousand subscribers cost a thousand whole numbers.
"""

from bisect import bisect_right

NONE_GONE = -1


class Ring:
    """Frames by index; an index never changes its meaning, also when old frames are gone.

    Attributes:
        first: the index of the oldest frame held.
        beginnings: how often numbers have begun again.
        gone_number: all frames above this number are held; None: it is not known.
    """

    def __init__(self, kept: int, *, gone_number: int | None) -> None:
        self._kept = kept
        self._numbers: list[int] = []
        self._texts: list[str] = []
        self.first = 0
        self.beginnings = 0
        self.gone_number = gone_number
        self.last_number = NONE_GONE if gone_number is None else gone_number

    @property
    def end(self) -> int:
        """Return the index that the next frame will have."""
        return self.first + len(self._texts)

    @property
    def first_number(self) -> int | None:
        """Return the number of the oldest frame held."""
        return self._numbers[0] if self._numbers else None

    def add(self, number: int, text: str) -> None:
        """Take a frame; its number is higher than every one before."""
        assert number > self.last_number, "numbers rise"
        if self.gone_number is None:
            # What came before the first one that we saw is not known to be nothing.
            self.gone_number = number
        self._numbers.append(number)
        self._texts.append(text)
        self.last_number = number
        if len(self._texts) >= 2 * self._kept:
            count = len(self._texts) - self._kept
            self.gone_number = self._numbers[count - 1]
            self._let_go(count)

    def begin_anew(self) -> None:
        """Let all frames go: from here on numbers count from the beginning again."""
        self.beginnings += 1
        self._let_go(len(self._texts))
        self.gone_number = self.last_number = NONE_GONE

    def index_after(self, number: int) -> int:
        """Return the index of the first frame held with a higher number."""
        return self.first + bisect_right(self._numbers, number)

    def after(self, index: int, limit: int) -> list[tuple[int, str]]:
        """Return up to ``limit`` frames from ``index`` on, each with its number."""
        assert index >= self.first, "these frames are held"
        part = slice(index - self.first, index - self.first + limit)
        return list(zip(self._numbers[part], self._texts[part], strict=True))

    def _let_go(self, count: int) -> None:
        self.first += count
        del self._numbers[:count], self._texts[:count]
