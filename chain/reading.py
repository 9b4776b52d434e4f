"""Reading: what a landed transaction did, instruction by instruction.

In        a node's getTransaction reply in base64, legacy, version 0 or version 1.
Out       fee, signers, memos with their signers, System and token transfers (top level and called).
Promises  the bytes are checked against the signatures in them, so no provider can change what a
          transaction says; a failed one moved nothing but its fee; an unknown version is refused.
Why       a difference of balances mixes what several instructions did, and says nothing of whom.
"""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from solders.message import Message, MessageV0, MessageV1
from solders.transaction import Legacy, SanitizeError, VersionedTransaction

from chain import wire
from chain.programs import MEMO_PROGRAM, SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from chain.trouble import UnknownVersion
from rooms.base58 import bytes_from_base58
from rooms.refusal import Impossible, must
from rooms.units import Address, Lamports, Signature, Slot, UnixMs

VERSIONS = ("legacy", 0, 1)
VERSION_BIT = 0x80

# The System Program's own numbers for its instructions.
TRANSFER = 2
TRANSFER_WITH_SEED = 11

# The token programs' own numbers; those that give or take in another way are seen as a change.
TOKEN_TRANSFER = 3
TOKEN_MINT_TO = 7
TOKEN_TRANSFER_CHECKED = 12
TOKEN_MINT_TO_CHECKED = 14

_SYSTEM = Address(str(SYSTEM_PROGRAM))
_MEMO = Address(str(MEMO_PROGRAM))
_TOKENS = (Address(str(TOKEN_PROGRAM)), Address(str(TOKEN_2022_PROGRAM)))
_READ = (_SYSTEM, _MEMO, *_TOKENS)


@dataclass(frozen=True, slots=True)
class Moved:
    """One System transfer that happened; ``called`` when a program made it."""

    source: Address
    destination: Address
    lamports: Lamports
    called: bool


@dataclass(frozen=True, slots=True)
class TokenMoved:
    """One token transfer that happened, from token account to token account, or from the mint.

    Attributes:
        mint: None where the transfer does not name it; the accounts' changes do.
        authority: who allowed it.
        amount: in the token's base units.
    """

    source: Address
    destination: Address
    mint: Address | None
    authority: Address
    amount: int
    called: bool


@dataclass(frozen=True, slots=True)
class Memo:
    """A memo, and which of the transaction's signers it names."""

    text: str
    signers: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class LandedTransaction:
    """What a transaction in a block did.

    Attributes:
        signature: its name.
        slot: of its block.
        block_time: of its block, where the provider knows it.
        error: why it failed; then `moved` and `memos` are empty.
        fee: paid by ``fee_payer``, failed or not.
        signers: who signed, the fee payer first.
        moved: System transfers, in the order in which they happened.
        memos: in their order.
        changes: what each address gained or lost in all, the fee included; zeros left out.
        tokens_moved: token transfers, in the order in which they happened.
        token_changes: what each token account gained or lost, with its mint; zeros left out.
    """

    signature: Signature
    slot: Slot
    block_time: UnixMs | None
    error: str | None
    fee: Lamports
    fee_payer: Address
    signers: tuple[Address, ...]
    moved: tuple[Moved, ...]
    memos: tuple[Memo, ...]
    changes: tuple[tuple[Address, int], ...]
    tokens_moved: tuple[TokenMoved, ...] = ()
    token_changes: tuple[tuple[Address, Address, int], ...] = ()

    def received(self, address: Address) -> Lamports:
        """Add up what was transferred to an address."""
        return Lamports(sum(each.lamports for each in self.moved if each.destination == address))

    def sent(self, address: Address) -> Lamports:
        """Add up what was transferred from an address."""
        return Lamports(sum(each.lamports for each in self.moved if each.source == address))

    def change(self, address: Address) -> int:
        """Give by how many lamports an address gained or lost in all."""
        return dict(self.changes).get(address, 0)

    def tokens_received(self, account: Address) -> int:
        """Add up what was transferred to a token account, in base units."""
        return sum(each.amount for each in self.tokens_moved if each.destination == account)

    def tokens_sent(self, account: Address) -> int:
        """Add up what was transferred from a token account, in base units."""
        return sum(each.amount for each in self.tokens_moved if each.source == account)

    def token_change(self, account: Address, mint: Address) -> int:
        """Give by how many base units of a mint a token account gained or lost in all."""
        return sum(
            amount for place, of, amount in self.token_changes if (place, of) == (account, mint)
        )

    def memos_of(self, owner: Address) -> tuple[str, ...]:
        """Give the memos that the owner of money signed; any other says nothing."""
        return tuple(memo.text for memo in self.memos if owner in memo.signers)


@dataclass(frozen=True, slots=True)
class _Instruction:
    program: Address
    accounts: tuple[Address, ...]
    data: bytes
    called: bool


def read_transaction(signature: Signature, reply: wire.Transaction) -> LandedTransaction:
    """Read a reply about ``signature``.

    Raises:
        UnknownVersion: when the transaction's version is none we know.
        Impossible: when the reply contradicts itself or the signature.
    """
    transaction = _decoded(signature, reply)
    message = transaction.message
    loaded = reply.meta.loaded_addresses or wire.Loaded()
    keys = tuple(Address(str(key)) for key in message.account_keys) + tuple(
        Address(each) for each in (*loaded.writable, *loaded.readonly)
    )
    signers = keys[: message.header.num_required_signatures]
    balances = reply.meta.pre_balances, reply.meta.post_balances
    must(all(len(side) == len(keys) for side in balances), "there is one balance an address")
    error = wire.error_text(reply.meta.err)
    happened = () if error is not None else tuple(_instructions(message, keys, reply.meta))
    return LandedTransaction(
        signature=signature,
        slot=Slot(reply.slot),
        block_time=None if reply.block_time is None else UnixMs(reply.block_time * 1_000),
        error=error,
        fee=Lamports(reply.meta.fee),
        fee_payer=keys[0],
        signers=signers,
        moved=tuple(_moved(happened)),
        memos=tuple(_memos(happened, signers)),
        changes=tuple(
            (key, after - before)
            for key, before, after in zip(keys, *balances, strict=True)
            if after != before
        ),
        tokens_moved=tuple(_tokens_moved(happened)),
        token_changes=_token_changes(keys, reply.meta),
    )


def _decoded(signature: Signature, reply: wire.Transaction) -> VersionedTransaction:
    if reply.version not in VERSIONS:
        raise UnknownVersion(signature, str(reply.version))
    try:
        raw = base64.b64decode(reply.transaction[0], validate=True)
        transaction = VersionedTransaction.from_bytes(raw)
        transaction.sanitize()
    except (ValueError, SanitizeError) as error:
        raise Impossible(f"the bytes are no transaction: {error}") from None
    version = transaction.version()
    must(
        version == (Legacy.Legacy if reply.version == "legacy" else reply.version),
        "the version told is the version of the bytes",
    )
    must(str(transaction.signatures[0]) == signature, "the transaction is the one asked for")
    must(all(transaction.verify_with_results()), "every signature is over the message")
    return transaction


def _instructions(
    message: Message | MessageV0 | MessageV1, keys: Sequence[Address], meta: wire.TransactionMeta
) -> Iterator[_Instruction]:
    called: dict[int, list[wire.CalledInstruction]] = {}
    for each in meta.inner_instructions:
        must(each.index < len(message.instructions), "a call has its top-level instruction")
        called.setdefault(each.index, []).extend(each.instructions)
    for place, top in enumerate(message.instructions):
        yield _Instruction(
            program=_at(keys, top.program_id_index),
            accounts=tuple(_at(keys, index) for index in top.accounts),
            data=bytes(top.data),
            called=False,
        )
        for inner in called.get(place, ()):
            program = _at(keys, inner.program_id_index)
            yield _Instruction(
                program=program,
                accounts=tuple(_at(keys, index) for index in inner.accounts),
                data=bytes_from_base58(inner.data) if program in _READ else b"",
                called=True,
            )


def _at(keys: Sequence[Address], index: int) -> Address:
    must(index < len(keys), "an instruction names addresses of its transaction")
    return keys[index]


def _moved(instructions: Sequence[_Instruction]) -> Iterator[Moved]:
    for each in instructions:
        if each.program != _SYSTEM or len(each.data) < 12:
            continue
        kind = int.from_bytes(each.data[:4], "little")
        if kind not in (TRANSFER, TRANSFER_WITH_SEED):
            continue
        # With a seed the second address is the one that the source was derived from.
        place = 1 if kind == TRANSFER else 2
        must(len(each.accounts) > place, "a transfer has a source and a destination")
        # Bytes after the amount are allowed and mean nothing.
        lamports = Lamports(int.from_bytes(each.data[4:12], "little"))
        yield Moved(each.accounts[0], each.accounts[place], lamports, each.called)


def _tokens_moved(instructions: Sequence[_Instruction]) -> Iterator[TokenMoved]:
    for each in instructions:
        if each.program not in _TOKENS or len(each.data) < 9:
            continue
        amount = int.from_bytes(each.data[1:9], "little")
        named = each.accounts
        if each.data[0] == TOKEN_TRANSFER_CHECKED:
            must(
                len(named) >= 4, "a checked transfer has a source, a mint, a destination, an owner"
            )
            yield TokenMoved(named[0], named[2], named[1], named[3], amount, each.called)
        elif each.data[0] == TOKEN_TRANSFER:
            must(len(named) >= 3, "a token transfer has a source, a destination and an owner")
            yield TokenMoved(named[0], named[1], None, named[2], amount, each.called)
        elif each.data[0] in (TOKEN_MINT_TO, TOKEN_MINT_TO_CHECKED):
            # What comes over a bridge is minted where it arrives.
            must(len(named) >= 3, "a minting has a mint, a destination and an authority")
            yield TokenMoved(named[0], named[1], named[0], named[2], amount, each.called)


def _token_changes(
    keys: Sequence[Address], meta: wire.TransactionMeta
) -> tuple[tuple[Address, Address, int], ...]:
    total: dict[tuple[Address, Address], int] = {}
    for side, sign in ((meta.pre_token_balances, -1), (meta.post_token_balances, 1)):
        for each in side or ():
            if each.program_id in _TOKENS:
                place = _at(keys, each.account_index), Address(each.mint)
                total[place] = total.get(place, 0) + sign * int(each.ui_token_amount.amount)
    return tuple((*place, amount) for place, amount in sorted(total.items()) if amount)


def _memos(instructions: Sequence[_Instruction], signers: Sequence[Address]) -> Iterator[Memo]:
    for each in instructions:
        if each.program == _MEMO:
            yield Memo(
                text=each.data.decode("utf-8", "replace"),
                signers=tuple(account for account in each.accounts if account in signers),
            )
