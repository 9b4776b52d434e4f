"""Webhooks: what a delivery of Helius says, as far as it says where to look.

In        the body of a delivery, *enhanced* or *raw*: an array of transactions.
Out       signatures with the addresses to which each brought lamports, as it says.
Promises  a body is read strictly and to its end, or refused; amounts are not even returned.
Why       whoever knows the header can say anything: what came in is read from two providers.
"""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from chain.trouble import Garbled
from rooms.units import Address, Signature

DELIVERED_MAX: Final = 1_000
TOLD_MAX: Final = 5_000

_Signature = Annotated[str, Meta(pattern=r"^[1-9A-HJ-NP-Za-km-z]{64,88}$")]
_Address = Annotated[str, Meta(pattern=r"^[1-9A-HJ-NP-Za-km-z]{32,44}$")]
_Lamports = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Change = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class _Transfer(Struct, rename="camel"):
    to_user_account: _Address


class _Account(Struct, rename="camel"):
    account: _Address
    native_balance_change: _Change


class _Enhanced(Struct, rename="camel"):
    signature: _Signature
    native_transfers: Annotated[list[_Transfer], Meta(max_length=256)]
    account_data: Annotated[list[_Account], Meta(max_length=256)] = []


class _Loaded(Struct):
    writable: list[_Address] = []
    readonly: list[_Address] = []


class _Meta(Struct, rename="camel"):
    pre_balances: Annotated[list[_Lamports], Meta(max_length=256)]
    post_balances: Annotated[list[_Lamports], Meta(max_length=256)]
    err: Any = None
    loaded_addresses: _Loaded | None = None


class _Message(Struct, rename="camel"):
    account_keys: Annotated[list[_Address], Meta(max_length=256)]


class _Transaction(Struct):
    message: _Message
    signatures: Annotated[list[_Signature], Meta(min_length=1)]


class _Raw(Struct):
    meta: _Meta
    transaction: _Transaction


_ITEMS: Final = msgspec.json.Decoder(Annotated[list[msgspec.Raw], Meta(max_length=DELIVERED_MAX)])
_ENHANCED: Final = msgspec.json.Decoder(_Enhanced)
_RAW: Final = msgspec.json.Decoder(_Raw)


def read_delivery(body: bytes) -> list[tuple[Signature, Address]]:
    """Read where a delivery says that lamports came in.

    Raises:
        Garbled: when it is no delivery, or too large a one.
    """
    told: dict[tuple[Signature, Address], None] = {}
    try:
        for item in _ITEMS.decode(body):
            told |= dict.fromkeys(_read(bytes(item)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Garbled(f"this is no delivery: {str(error)[:200]}") from None
    if len(told) > TOLD_MAX:
        raise Garbled("this delivery names too many addresses")
    return list(told)


def _read(item: bytes) -> list[tuple[Signature, Address]]:
    if "transaction" not in msgspec.json.decode(item, type=dict[str, msgspec.Raw]):
        enhanced = _ENHANCED.decode(item)
        gained = [each.account for each in enhanced.account_data if each.native_balance_change > 0]
        named = [each.to_user_account for each in enhanced.native_transfers]
        return [
            (Signature(enhanced.signature), Address(each))
            for each in dict.fromkeys([*named, *gained])
        ]
    raw = _RAW.decode(item)
    if raw.meta.err is not None:
        return []
    loaded = raw.meta.loaded_addresses or _Loaded()
    keys = [*raw.transaction.message.account_keys, *loaded.writable, *loaded.readonly]
    before, after = raw.meta.pre_balances, raw.meta.post_balances
    if not len(keys) == len(before) == len(after):
        raise Garbled("this is no delivery: its balances are not those of its accounts")
    return [
        (Signature(raw.transaction.signatures[0]), Address(key))
        for key, had, has in zip(keys, before, after, strict=True)
        if has > had
    ]
