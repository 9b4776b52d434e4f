"""Turnkey's settings: where the organisation is, who we are there, how fast we may ask.

Holds     frozen values, built once where the process is put together.
Promises  no repr shows a private key.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from chain.signer import Wallet

KEYS_MAX = 2
PUBLIC_LETTERS = 66
PRIVATE_LETTERS = 64


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A P-256 key that stamps requests, both halves in hex: the public one compressed."""

    public: str
    private: str = field(repr=False)

    def __post_init__(self) -> None:
        if not (_is_hex(self.public, PUBLIC_LETTERS) and _is_hex(self.private, PRIVATE_LETTERS)):
            raise ValueError(
                "a Turnkey API key is a compressed public key of 66 hex letters "
                "and a private key of 64"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnkeySettings:
    """How the organisation is asked.

    Attributes:
        url: the service, without a path.
        organization: its id.
        wallets: the id of the wallet behind each of ours.
        keys: one or two API keys; the second is used when the first has expired.
        requests_per_minute: what we allow ourselves; 70 % of what the plan allows.
        answer_ms_max: a request that took longer has not been answered.
        answer_bytes_max: an answer larger than this is not read to its end.
        back_off_ms: before a request without an answer is sent again, doubled each time.
        poll_ms: between two looks at an activity that is not completed.
        wait_ms_max: an activity that takes longer waits for custody's next round.
        body_ms_max: a request older than this is refused there, and made anew.
        clock_off_ms_max: a clock further off than this stops signing.
        failures_max: so many failures in a row, and it is left alone for a while.
        rest_ms: how long it is left alone.
    """

    url: str
    organization: str
    wallets: Mapping[Wallet, str]
    keys: tuple[ApiKey, ...]
    requests_per_minute: int = 42
    answer_ms_max: int = 15_000
    answer_bytes_max: int = 1_000_000
    back_off_ms: int = 500
    poll_ms: int = 500
    wait_ms_max: int = 10_000
    body_ms_max: int = 50 * 60_000
    clock_off_ms_max: int = 60_000
    failures_max: int = 5
    rest_ms: int = 10_000

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError("Turnkey's address begins with https://")
        if not self.organization:
            raise ValueError("Turnkey needs the organisation's id")
        if not 1 <= len(self.keys) <= KEYS_MAX:
            raise ValueError("Turnkey needs one API key, or two while one follows the other")
        if len({key.public for key in self.keys}) != len(self.keys):
            raise ValueError("the two Turnkey API keys are one")
        bounds = (
            self.requests_per_minute, self.answer_ms_max, self.answer_bytes_max,
            self.back_off_ms, self.poll_ms,
            self.wait_ms_max, self.body_ms_max, self.clock_off_ms_max,
            self.failures_max, self.rest_ms,
        )  # fmt: skip
        if min(bounds) <= 0:
            raise ValueError("bounds of Turnkey requests are positive")


def _is_hex(text: str, letters: int) -> bool:
    return len(text) == letters and all(letter in "0123456789abcdef" for letter in text)
