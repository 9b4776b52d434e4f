"""Ring: the newest frames of a series, for subscribers that each have their own place in it.

In        frames with rising numbers.
Out       the frames after a place; whether some before it are gone.
Promises  it holds at least ``kept`` frames and at most twice that, whoever is slow.
Why       a place is an index, not a copy: a thousand subscribers cost a thousand whole numbers.
"""

from bisect import bisect_right


class Ring:
    """Frames by index; an index never changes its meaning, also when old frames are gone."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._numbers: list[int] = []
        self._frames: list[str] = []
        self.first = 0
        self.gone_number = -1
        self.last_number = -1

    @property
    def end(self) -> int:
        """Return the index that the next frame will have."""
        return self.first + len(self._frames)

    @property
    def first_number(self) -> int | None:
        """Return the number of the oldest frame held."""
        return self._numbers[0] if self._numbers else None

    def add(self, number: int, frame: str) -> None:
        """Take a frame; its number is higher than every one before."""
        assert number > self.last_number, "numbers rise"
        self._numbers.append(number)
        self._frames.append(frame)
        self.last_number = number
        if len(self._frames) >= 2 * self._kept:
            self._let_go(len(self._frames) - self._kept)

    def begin_anew(self) -> None:
        """Let all frames go: from here on numbers count from the beginning again."""
        self._let_go(len(self._frames))
        self.gone_number = self.last_number = -1

    def index_after(self, number: int) -> int:
        """Return the index of the first frame with a higher number."""
        return self.first + bisect_right(self._numbers, number)

    def after(self, index: int, limit: int) -> list[str]:
        """Return up to ``limit`` frames from ``index`` on, which must not be gone."""
        assert index >= self.first, "these frames are held"
        start = index - self.first
        return self._frames[start : start + limit]

    def _let_go(self, count: int) -> None:
        if count:
            self.gone_number = self._numbers[count - 1]
            self.first += count
            del self._numbers[:count], self._frames[:count]
