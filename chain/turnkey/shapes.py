"""Turnkey's shapes: what it is asked and what it answers, as far as we need it.

Promises  an answer of another shape is an error here, not later.
Why       the names are those of docs.turnkey.com's API reference and of turnkey-http 0.2.2.
"""

from typing import Any, Final, Literal, TypeAlias

import msgspec

Status: TypeAlias = Literal[
    "ACTIVITY_STATUS_CREATED",
    "ACTIVITY_STATUS_PENDING",
    "ACTIVITY_STATUS_COMPLETED",
    "ACTIVITY_STATUS_FAILED",
    "ACTIVITY_STATUS_CONSENSUS_NEEDED",
    "ACTIVITY_STATUS_AUTHENTICATORS_NEEDED",
    "ACTIVITY_STATUS_REJECTED",
]
UNDER_WAY: Final = frozenset({"ACTIVITY_STATUS_CREATED", "ACTIVITY_STATUS_PENDING"})
UNAPPROVED: Final = frozenset(
    {"ACTIVITY_STATUS_CONSENSUS_NEEDED", "ACTIVITY_STATUS_AUTHENTICATORS_NEEDED"}
)

SIGN_TRANSACTION: Final = "ACTIVITY_TYPE_SIGN_TRANSACTION_V2"
CREATE_ACCOUNTS: Final = "ACTIVITY_TYPE_CREATE_WALLET_ACCOUNTS"
CREATE_WALLET: Final = "ACTIVITY_TYPE_CREATE_WALLET"
CREATE_POLICIES: Final = "ACTIVITY_TYPE_CREATE_POLICIES"

PATHS: Final = {
    SIGN_TRANSACTION: "/public/v1/submit/sign_transaction",
    CREATE_ACCOUNTS: "/public/v1/submit/create_wallet_accounts",
    CREATE_WALLET: "/public/v1/submit/create_wallet",
    CREATE_POLICIES: "/public/v1/submit/create_policies",
}
GET_ACTIVITY: Final = "/public/v1/query/get_activity"
GET_ACCOUNT: Final = "/public/v1/query/get_wallet_account"
LIST_POLICIES: Final = "/public/v1/query/list_policies"
WHO_AM_I: Final = "/public/v1/query/whoami"


class SignTransactionResult(msgspec.Struct, frozen=True, rename="camel"):
    """The transaction with the signature in its place, in hex."""

    signed_transaction: str


class CreateAccountsResult(msgspec.Struct, frozen=True):
    """Addresses of the accounts asked for, in their order."""

    addresses: tuple[str, ...]


class CreateWalletResult(msgspec.Struct, frozen=True, rename="camel"):
    """The new wallet, and its first accounts."""

    wallet_id: str
    addresses: tuple[str, ...] = ()


class CreatePoliciesResult(msgspec.Struct, frozen=True, rename="camel"):
    """Ids of the new policies, in their order."""

    policy_ids: tuple[str, ...]


class Result(msgspec.Struct, frozen=True, rename="camel"):
    """What an activity brought; one of these at most."""

    sign_transaction_result: SignTransactionResult | None = None
    create_wallet_accounts_result: CreateAccountsResult | None = None
    create_wallet_result: CreateWalletResult | None = None
    create_policies_result: CreatePoliciesResult | None = None


class Failure(msgspec.Struct, frozen=True):
    """Why an activity failed."""

    code: int = 0
    message: str = ""


class Activity(msgspec.Struct, frozen=True, rename="camel"):
    """Something that Turnkey was asked to do."""

    id: str
    organization_id: str
    status: Status
    type: str
    result: Result = Result()
    failure: Failure | None = None


class ActivityAnswer(msgspec.Struct, frozen=True):
    """An activity in its envelope."""

    activity: Activity


class Account(msgspec.Struct, frozen=True, rename="camel"):
    """An account of a wallet."""

    wallet_id: str
    path: str
    address: str


class AccountAnswer(msgspec.Struct, frozen=True):
    """An account in its envelope."""

    account: Account


class Policy(msgspec.Struct, frozen=True, rename="camel"):
    """A rule that is installed; an empty condition or consensus is always met."""

    policy_id: str
    policy_name: str
    effect: Literal["EFFECT_ALLOW", "EFFECT_DENY"]
    condition: str = ""
    consensus: str = ""
    notes: str = ""


class PoliciesAnswer(msgspec.Struct, frozen=True):
    """All rules that are installed."""

    policies: tuple[Policy, ...]


class WhoAmI(msgspec.Struct, frozen=True, rename="camel"):
    """Whose key it is that stamps our requests."""

    organization_id: str
    user_id: str
    username: str = ""


class Detail(msgspec.Struct, frozen=True, rename="camel"):
    """The part of an error that decides what to do."""

    turnkey_error_code: str = ""


class Trouble(msgspec.Struct, frozen=True):
    """An error's body. The number is gRPC's, is to be removed, and decides nothing."""

    code: int = 0
    message: str = ""
    details: tuple[Detail, ...] = ()

    @property
    def name(self) -> str:
        """Return Turnkey's own word for the error, or nothing where it has none."""
        return next((each.turnkey_error_code for each in self.details if each), "")


def request_body(kind: str, organization: str, parameters: dict[str, Any], at: int) -> bytes:
    """Write the request of an activity; these very bytes are stamped, kept and sent again."""
    return msgspec.json.encode(
        {
            "type": kind,
            "timestampMs": str(at),
            "organizationId": organization,
            "parameters": parameters,
        }
    )
