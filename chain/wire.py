"""Wire: what a Solana RPC node answers, strictly.

Holds     one frozen shape a reply, with only the fields that we use.
Promises  a number is a whole number in range, a word is one we know; anything else does not decode.
Why       a reply that moves money is read by a shape that says what it must be. Unknown fields
          pass: nodes add them with every release.
"""

import base64
from decimal import Decimal
from typing import Annotated, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

Answer = TypeVar("Answer")

_SUPPLY_AT: Final = 36

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Index = Annotated[int, Meta(ge=0, le=255)]
Epoch = Annotated[int, Meta(ge=0, le=4_102_444_800)]  # Seconds since 1970, to the year 2100.
Text = Annotated[str, Meta(max_length=200)]


class Trouble(Struct, frozen=True):
    """A JSON-RPC error."""

    code: int
    message: str
    data: Raw | UnsetType = UNSET


class Envelope(Struct, frozen=True):
    """A JSON-RPC reply; exactly one of ``result`` and ``error`` is there."""

    jsonrpc: Literal["2.0"]
    id: int | None
    result: Raw | UnsetType = UNSET
    error: Trouble | UnsetType | None = UNSET


class Context(Struct, frozen=True):
    """The slot at which a question was answered."""

    slot: Count


class AtSlot(Struct, Generic[Answer], frozen=True):
    """An answer with the slot at which it was true."""

    context: Context
    value: Answer


class Blockhash(Struct, frozen=True, rename="camel"):
    """getLatestBlockhash."""

    blockhash: Text
    last_valid_block_height: Count


class EpochInfo(Struct, frozen=True, rename="camel"):
    """getEpochInfo: the one call that gives a slot and its block height together."""

    absolute_slot: Count
    block_height: Count


class Status(Struct, frozen=True, rename="camel"):
    """One of getSignatureStatuses."""

    slot: Count
    err: Raw
    confirmation_status: Literal["processed", "confirmed", "finalized"]


class Listed(Struct, frozen=True, rename="camel"):
    """One of getSignaturesForAddress."""

    signature: Text
    slot: Count
    err: Raw
    confirmation_status: Literal["processed", "confirmed", "finalized"]
    block_time: Epoch | None = None
    memo: str | None = None


class Account(Struct, frozen=True):
    """One of getMultipleAccounts, asked for without its data."""

    lamports: Count
    owner: Text
    executable: bool


class StoredAccount(Struct, frozen=True):
    """One of getMultipleAccounts, asked for with its data in base64."""

    lamports: Count
    owner: Text
    executable: bool
    data: tuple[str, Literal["base64"]]
    space: Count

    @property
    def body(self) -> bytes:
        """Return the data, or as much of it as was asked for."""
        return base64.b64decode(self.data[0])

    def without_supply(self) -> "StoredAccount":
        """Return a mint's account as it is whatever was minted and whatever lies under it."""
        body = self.body
        still = body[:_SUPPLY_AT] + bytes(8) + body[_SUPPLY_AT + 8 :]
        data = base64.b64encode(still).decode()
        return msgspec.structs.replace(self, lamports=0, data=(data, "base64"))


class Simulated(Struct, frozen=True, rename="camel"):
    """simulateTransaction."""

    err: Raw
    logs: list[str] | None = None
    units_consumed: Count | None = None


class PriorityEstimate(Struct, frozen=True, rename="camel"):
    """getPriorityFeeEstimate: written with a decimal point, and read exactly."""

    priority_fee_estimate: Decimal


class CalledInstruction(Struct, frozen=True, rename="camel"):
    """An instruction that a program called; its data is base58."""

    program_id_index: Index
    accounts: list[Index]
    data: str


class Called(Struct, frozen=True):
    """What the top-level instruction at ``index`` called."""

    index: Index
    instructions: list[CalledInstruction]


class Loaded(Struct, frozen=True):
    """Addresses that a version 0 transaction took out of lookup tables."""

    writable: list[Text] = []
    readonly: list[Text] = []


class TokenAmount(Struct, frozen=True):
    """An amount of a token in its base units, written as text."""

    amount: Annotated[str, Meta(pattern="^[0-9]{1,20}$")]


class TokenBalance(Struct, frozen=True, rename="camel"):
    """What lay in a token account before or after a transaction."""

    account_index: Index
    mint: Text
    program_id: Text
    ui_token_amount: TokenAmount


class TransactionMeta(Struct, frozen=True, rename="camel"):
    """What the runtime did with a transaction; a node without inner instructions is no use."""

    err: Raw
    fee: Count
    pre_balances: list[Count]
    post_balances: list[Count]
    inner_instructions: list[Called]
    loaded_addresses: Loaded | None = None
    pre_token_balances: list[TokenBalance] | None = None
    post_token_balances: list[TokenBalance] | None = None


class Transaction(Struct, frozen=True, rename="camel"):
    """getTransaction in base64."""

    slot: Count
    transaction: tuple[str, Literal["base64"]]
    meta: TransactionMeta
    version: Literal["legacy"] | int
    block_time: Epoch | None = None


def error_text(err: Raw) -> str | None:
    """Give an ``err`` field as short text, or nothing when there was none."""
    said = msgspec.json.decode(err)
    # Written anew, because two nodes write the same error with different blanks.
    return None if said is None else msgspec.json.encode(said, order="sorted").decode()[:200]


Reply = TypeVar("Reply")


class PushedParams(Struct, frozen=True):
    """What a notification of a node's socket carries."""

    subscription: Count
    result: Raw


class PushedValue(Struct, frozen=True):
    """What a notification says; only an account's has lamports."""

    lamports: Count | None = None


class Pushed(Struct, frozen=True):
    """A frame of a node's socket: a notification, or the answer to a request of ours."""

    jsonrpc: Literal["2.0"]
    id: int | str | None = None
    result: Raw | UnsetType = UNSET
    error: Trouble | UnsetType | None = UNSET
    params: PushedParams | UnsetType = UNSET


class Misshapen(ValueError):
    """Bytes that are not the shape asked for."""


def decode(content: bytes, shape: type[Reply]) -> Reply:
    """Read JSON as a shape, strictly.

    Raises:
        Misshapen: when it is not that.
    """
    try:
        return msgspec.json.decode(content, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Misshapen(str(error)) from None
    except RecursionError:
        raise Misshapen("nested too deeply") from None
