"""Begun: a coroutine that is begun where it is called, and needs a task only if it waits.

In        a coroutine.
Out       what it returned, when it did not wait; else something to await, which goes on with it.
Promises  nothing of it runs twice; who is cancelled while it waits ends it.
Why       a task costs more than most of what is done for a message, and most of that never waits.
"""

from collections.abc import Coroutine, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Done(Generic[Value]):
    """It did not wait."""

    value: Value


class Begun(Generic[Value]):
    """It waits for something: await it once, in the task in which it was begun or in another."""

    def __init__(self, coroutine: Coroutine[Any, Any, Value], waits_for: Any) -> None:  # noqa: ANN401 - what a coroutine yields
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, Value]:
        """Go on with it."""
        try:
            yield self._waits_for
        except BaseException:  # Whoever ends the waiting, however, ends the coroutine too.
            self._coroutine.close()
            raise
        return (yield from self._coroutine.__await__())


def begin(coroutine: Coroutine[Any, Any, Value]) -> Done[Value] | Begun[Value]:
    """Run a coroutine up to where it waits for the first time; what it raises is raised."""
    try:
        return Begun(coroutine, coroutine.send(None))
    except StopIteration as end:
        return Done(end.value)
