"""Audit: what must always be true of the ledger and the chain, and when it is not.

In        what was found and what was expected; what lies at each address and what explains it.
Out       breaches, each with a key that stays the same however often it is found.
Promises  nothing is skipped because it was committed late; a difference that nothing explains is
          doubted at once and a breach when it lasts.
Why       a wrong pause costs minutes, a missed breach costs everything: whoever is in doubt waits,
          whoever is sure stops at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from rooms.units import Address, Lamports, Slot, UnixMs

DOUBT_MS = 60_000
"""A difference that nothing explains for so long is a breach."""
SIGHTINGS_MIN = 2
"""And has been seen so often: one look after a long silence proves nothing."""


class Rule(StrEnum):
    """Name what is broken. Names are stored: append, never rename."""

    UNBALANCED = "unbalanced"
    BROKEN_ACCOUNT = "broken-account"
    NEGATIVE = "negative"
    BOOKS_DIFFER = "books-differ"
    NOT_ITS_POSTINGS = "not-its-postings"
    CLAIMS_DIFFER = "claims-differ"
    STRANGE_ACCOUNT = "strange-account"
    TWO_EFFECTS = "two-effects"
    UNPLANNED = "unplanned"
    UNCAUSED = "uncaused"
    TWO_ATTEMPTS = "two-attempts"
    LANDED_TWICE = "landed-twice"
    OVERPAID = "overpaid"
    DIFFERENCE = "difference"
    STRANGER = "stranger"
    AUDIT_LOG = "audit-log"
    PLANNED_OTHERWISE = "planned-otherwise"


_SENTENCES: Mapping[Rule, str] = {
    Rule.UNBALANCED: "entry {subject} moves {found} between places and {expected} between owners",
    Rule.BROKEN_ACCOUNT: "posting {subject} leaves {found} where its account must have {expected}",
    Rule.NEGATIVE: "account {subject} has {found} lamports",
    Rule.BOOKS_DIFFER: "{found} lamports lie somewhere and {expected} are claimed",
    Rule.NOT_ITS_POSTINGS: "account {subject} has {found} lamports, its postings say {expected}",
    Rule.CLAIMS_DIFFER: "{found} lamports lie at {subject} and {expected} are claimed",
    Rule.STRANGE_ACCOUNT: "account {subject} has {found} lamports at an address that is not ours",
    Rule.TWO_EFFECTS: "{subject} has {found} effects and may have {expected}",
    Rule.UNPLANNED: "attempt {subject} was signed without a plan",
    Rule.UNCAUSED: "transfer {subject} moves {found} lamports and its cause says {expected}",
    Rule.TWO_ATTEMPTS: "transfer {subject} has {found} live attempts",
    Rule.LANDED_TWICE: "transfer {subject} has landed {found} times",
    Rule.OVERPAID: "room {subject} gives away {found} lamports of a pool of {expected}",
}


@dataclass(frozen=True, slots=True)
class Breach:
    """Something that must never be so.

    Attributes:
        subject: the entry, account, transfer or address that it is about.
        what: the sentence for people.
        state: tells apart two breaches of one rule about one subject.
    """

    rule: Rule
    subject: str
    what: str
    state: str = ""

    @property
    def key(self) -> str:
        """Return what is the same whenever this breach is found."""
        return ":".join(part for part in (self.rule.value, self.subject, self.state) if part)


def breach_of(rule: Rule, subject: str, found: int, expected: int) -> Breach:
    """Say in a sentence what was found and what should be there."""
    what = _SENTENCES[rule].format(subject=subject, found=found, expected=expected)
    # Balances go on moving while a breach stays: only by how much they are wrong stays the same.
    state = "" if rule in (Rule.NEGATIVE, Rule.STRANGE_ACCOUNT) else str(found - expected)
    return Breach(rule, subject, what, state)


# What was checked ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """How far entries, transfers and attempts were looked at, by their ids."""

    entry: int = 0
    transfer: int = 0
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the ledger.

    Attributes:
        place: the highest ids that could be seen.
        oldest: the oldest transaction that was under way.
        next: what the next transaction would be called.
    """

    place: Place
    oldest: int
    next: int


@dataclass(slots=True)
class Watermark:
    """Remember up to where everything was looked at for good.

    A row with a lower id can be committed after one with a higher id, so a place counts only when
    every transaction that was under way at that look has ended before a later one.
    """

    checked: Place = field(default_factory=Place)
    _looks: list[Look] = field(default_factory=list)

    def after(self, look: Look) -> None:
        """Note that everything from `checked` to the look's place was found to be well."""
        passed = [each for each in self._looks if each.next <= look.oldest]
        if passed:
            self.checked = passed[-1].place
        self._looks = [each for each in self._looks if each.next > look.oldest]
        if not self._looks or self._looks[-1].place != look.place:
            self._looks.append(look)


# Ledger and chain ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Effect:
    """What a known signature did to an address, and in which slot."""

    address: Address
    slot: Slot
    lamports: int


@dataclass(frozen=True, slots=True)
class Lying:
    """What one provider says lies at an address at one finalized slot."""

    provider: str
    address: Address
    slot: Slot
    lamports: Lamports


@dataclass(frozen=True, slots=True)
class Difference:
    """What lies at an address beside what the ledger says and known signatures explain.

    Attributes:
        ledger: what the ledger says, as of the provider's slot.
        waiting: brought or taken by known signatures that are not posted yet.
        unexplained: the rest; nothing when all is well.
    """

    lying: Lying
    ledger: int
    waiting: int
    unexplained: int


def difference(
    lying: Lying, ledger: Lamports, posted: Iterable[Effect], waiting: Iterable[Effect]
) -> Difference:
    """Compare one address at one provider's slot.

    Args:
        lying: what the provider says.
        ledger: what the ledger says now.
        posted: effects that are in the ledger; those after the slot are taken out again.
        waiting: effects of known signatures that are final and not in the ledger yet.
    """
    later = sum(
        each.lamports for each in posted if each.address == lying.address and each.slot > lying.slot
    )
    due = sum(
        each.lamports
        for each in waiting
        if each.address == lying.address and each.slot <= lying.slot
    )
    as_of = ledger - later
    return Difference(lying, as_of, due, lying.lamports - as_of - due)


@dataclass(frozen=True, slots=True)
class _Doubt:
    since: UnixMs
    sightings: int


@dataclass(slots=True)
class Doubts:
    """Addresses with a difference that nothing explains, and since when."""

    _by_address: dict[Address, _Doubt] = field(default_factory=dict)

    def judge(
        self, differences: Mapping[Address, Sequence[Difference]], now: UnixMs
    ) -> list[Breach]:
        """Take a look over addresses, each as all providers that answered see it.

        An address that fewer than two providers told of is judged by nobody: its doubt stays.
        """
        breaches: list[Breach] = []
        for address, seen in differences.items():
            wrong = [each for each in seen if each.unexplained]
            if len(seen) < SIGHTINGS_MIN:
                continue
            if not wrong:
                self._by_address.pop(address, None)
                continue
            before = self._by_address.get(address, _Doubt(now, 0))
            doubt = _Doubt(before.since, before.sightings + 1)
            self._by_address[address] = doubt
            if now - doubt.since >= DOUBT_MS and doubt.sightings >= SIGHTINGS_MIN:
                breaches.append(_unexplained(address, wrong, len(seen)))
        return breaches

    def since(self, address: Address) -> UnixMs | None:
        """Say since when an address is doubted."""
        doubt = self._by_address.get(address)
        return None if doubt is None else doubt.since


def _unexplained(address: Address, wrong: Sequence[Difference], asked: int) -> Breach:
    first = wrong[0]
    who = " and ".join(each.lying.provider for each in wrong)
    agree = "" if len(wrong) == asked else ", though not by all providers"
    return Breach(
        Rule.DIFFERENCE,
        address,
        f"{first.lying.lamports} lamports lie at {address} at slot {first.lying.slot} by {who}"
        f"{agree}; the ledger says {first.ledger}, and nothing explains {first.unexplained:+}",
        state=str(first.unexplained),
    )
