"""`rooms doctor` says how many bets and payouts a minute signer and providers allow."""

import pytest

from cli.doctor import Grade, _pace
from cli.settings import read_settings_from

TURNKEY = {"ROOMS_TURNKEY__ORGANIZATION": "an organisation"}
CASES: list[tuple[str, dict[str, str], str, bool]] = [
    # what, settings, what is said, whether no more stakes are promised than that
    (
        "as delivered, with the keystore",
        {},
        "428 bets or 25680 payouts a minute: providers take 428 transactions, each sent 7 times",
        True,
    ),
    (
        "Turnkey is what allows least",
        TURNKEY,
        "42 bets or 2520 payouts a minute: providers take 428 transactions, each sent 7 times, "
        "Turnkey signs 42",
        False,
    ),
    (
        "a larger plan at both",
        {
            **TURNKEY,
            "ROOMS_SENDS_PER_SECOND": "100",
            "ROOMS_TURNKEY__REQUESTS_PER_MINUTE": "2520",
            "ROOMS_STAKES_PER_SECOND": "14",
        },
        "857 bets or 51420 payouts a minute: providers take 857 transactions, each sent 7 times, "
        "Turnkey signs 2520",
        True,
    ),
    (
        "version 0 holds fewer payouts",
        {"ROOMS_TRANSACTION_VERSION": "0", "ROOMS_SENDS_PER_SECOND": "5"},
        "42 bets or 672 payouts a minute: providers take 42 transactions, each sent 7 times",
        False,
    ),
]


@pytest.mark.parametrize(
    ("given", "said", "well"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
async def test_the_pace_is_what_signer_and_providers_allow(
    given: dict[str, str], said: str, *, well: bool
) -> None:
    findings = await _pace(read_settings_from(given))
    assert findings[0].sentence == said
    assert [each.grade for each in findings[1:]] == ([] if well else [Grade.WRONG])
    assert all("ROOMS_STAKES_PER_SECOND promises" in each.sentence for each in findings[1:])
