"""Health: which providers are worth asking now, judged by how they have answered.

In        answers with the time they took, troubles, slots reached, contradictions; the time.
Out       the names of the providers to ask, the best first.
Promises  whoever fails, lags or is contradicted by two others is left out for a while, then looked
          at again; each rest is longer than the last, up to a limit; so many that two remain are
          never left out, for nothing is decided on one provider's word.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rooms.units import Slot

AGREEING_MIN: Final = 2


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """When a provider is left out, and for how long.

    Attributes:
        troubles_max: failures in a row.
        contradictions_max: times that two others agreed against it.
        lag_slots_max: behind the second furthest.
        answers_well: so many answers in a row, and earlier troubles are forgotten.
        rest_ms: the first rest; doubled with each that follows, up to ``rest_ms_max``.
    """

    troubles_max: int = 3
    contradictions_max: int = 3
    lag_slots_max: int = 60
    answers_well: int = 200
    rest_ms: int = 5_000
    rest_ms_max: int = 300_000

    def __post_init__(self) -> None:
        if (
            min(
                self.troubles_max,
                self.contradictions_max,
                self.lag_slots_max,
                self.answers_well,
                self.rest_ms,
            )
            <= 0
        ):
            raise ValueError("bounds of a provider's health are positive")
        if self.rest_ms_max < self.rest_ms:
            raise ValueError("a provider's longest rest is not shorter than its first")


@dataclass(slots=True)
class _Record:
    took_ms: int = 0
    answers: int = 0
    troubles: int = 0
    contradictions: int = 0
    slot: Slot | None = None
    rests: int = 0
    rests_until: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a provider stands.

    Attributes:
        took_ms: what its answers take, newer ones counting more.
        why: why it is left out; empty while it is asked.
    """

    name: str
    took_ms: int
    slot: Slot | None
    why: str


class Health:
    """Remember how each provider has answered."""

    def __init__(self, names: Iterable[str], settings: HealthSettings) -> None:
        self._settings = settings
        self._records = {name: _Record() for name in names}

    def note_answer(self, name: str, took_ms: int) -> None:
        """Note that it answered, and how long that took."""
        record = self._records[name]
        record.troubles = 0
        record.answers += 1
        if record.answers >= self._settings.answers_well:
            record.rests = record.contradictions = 0
        record.took_ms = took_ms if not record.took_ms else (3 * record.took_ms + took_ms) // 4

    def note_trouble(self, name: str, at: int, why: str) -> None:
        """Note that it failed: not in time, too often asked, or an answer that cannot be."""
        record = self._records[name]
        record.troubles += 1
        record.answers = 0
        if record.troubles >= self._settings.troubles_max:
            self._leave_out(record, at, why)

    def note_contradiction(self, name: str, at: int) -> None:
        """Note that two others agreed, and it said something else."""
        record = self._records[name]
        record.contradictions += 1
        record.answers = 0
        if record.contradictions >= self._settings.contradictions_max:
            self._leave_out(record, at, "contradicts two others")

    def note_slot(self, name: str, slot: Slot) -> None:
        """Note how far it has come."""
        self._records[name].slot = slot

    def fit(self, at: int) -> tuple[str, ...]:
        """Name whom to ask: in the order given, those that lag or rest left out."""
        well = [name for name, record in self._records.items() if not self._why_not(record, at)]
        return tuple(well if len(well) >= AGREEING_MIN else self._records)

    def standings(self, at: int) -> tuple[Standing, ...]:
        """Say how each stands."""
        return tuple(
            Standing(name, record.took_ms, record.slot, self._why_not(record, at))
            for name, record in self._records.items()
        )

    def _why_not(self, record: _Record, at: int) -> str:
        if record.rests_until > at:
            return record.why
        behind = self._reached() - (record.slot or 0) if record.slot is not None else 0
        if behind > self._settings.lag_slots_max:
            return f"{behind} slots behind"
        return ""

    def _reached(self) -> int:
        """Return the second furthest slot: one provider alone may say anything."""
        slots = sorted(record.slot for record in self._records.values() if record.slot is not None)
        return slots[-AGREEING_MIN] if len(slots) >= AGREEING_MIN else 0

    def _leave_out(self, record: _Record, at: int, why: str) -> None:
        rest_ms = min(self._settings.rest_ms_max, self._settings.rest_ms << min(record.rests, 20))
        record.rests += 1
        record.rests_until = at + rest_ms
        # Let back on probation: the next failure leaves it out at once, and for longer.
        record.troubles = self._settings.troubles_max - 1
        record.contradictions = self._settings.contradictions_max - 1
        record.why = why
