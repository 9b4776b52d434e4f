"""Faults: what goes wrong on request, so that a bot can be seen to bear it.

In        one fault at a time: its kind, where it strikes, and how often.
Promises  a fault strikes exactly as often as asked, and never by itself.
Why       held in memory only: a server that was started anew is a healthy one.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any

from sandbox.telegram.refusals import bad_request

KINDS = {
    "too_many_requests": "refuse a call with 429 and retry_after_s",
    "error": "refuse a call with HTTP code and description, before doing anything",
    "cut": "do what the call asks, then close the connection without an answer",
    "slow": "do what the call asks, then answer only after delay_ms",
    "duplicate": "deliver an acknowledged update once more",
    "overtake": "hold a person's next message until the press that follows was delivered",
}


@dataclass(slots=True)
class Fault:
    """One thing that is to go wrong.

    Attributes:
        kind: one of ``KINDS``.
        method: the Bot API method it strikes, in any case; None strikes all.
        person_id: the chat it strikes; None strikes all.
        times: how often it still strikes.
    """

    kind: str
    method: str | None = None
    person_id: int | None = None
    times: int = 1
    retry_after_s: int = 1
    delay_ms: int = 0
    code: int = 500
    description: str = "Internal Server Error"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise bad_request(f"a fault is one of {', '.join(KINDS)}")
        if self.times < 1:
            raise bad_request("a fault strikes at least once")


class Faults:
    """Hold the faults that are still to strike, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Let a fault strike from now on."""
        self._faults.append(fault)

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        self._faults.clear()

    def listed(self) -> list[dict[str, Any]]:
        """List what is still to strike."""
        return [asdict(fault) for fault in self._faults]

    def take(self, kind: str, method: str | None, person_id: int | None) -> Fault | None:
        """Use up one strike of the first fault that fits, if there is one."""
        for fault in self._faults:
            named = fault.method is None or fault.method.lower() == method
            chosen = fault.person_id is None or fault.person_id == person_id
            if fault.kind == kind and named and chosen:
                fault.times -= 1
                if fault.times == 0:
                    self._faults.remove(fault)
                return fault
        return None


def read_fault(wanted: object) -> Fault:
    """Read a fault from JSON; an unknown name or a wrong kind of value is refused."""
    if not isinstance(wanted, dict):
        raise bad_request("a fault is an object")
    kinds = {field.name: field.type for field in fields(Fault)}
    for name, value in wanted.items():
        if name not in kinds or type(value).__name__ not in str(kinds[name]):
            raise bad_request(f"a fault has no such {name}")
    if "kind" not in wanted:
        raise bad_request("a fault has a kind")
    return Fault(**wanted)
