"""Transactions: planned transfers into one signed Solana transaction.

In        transfers in their order, a memo, whose money it is, a blockhash; a `Signer`.
Out       raw bytes ready to be written down and then sent; their signature is their name.
Promises  every signature was checked here against the message and the signer expected, and the
          bytes are read back before they leave; what does not fit is refused, never cut.
Why       the memo, signed by the owner of the money, names what the transfer is for; without one
          two equal transfers in one block are one transaction, and one of two people is paid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash, ParseHashError
from solders.instruction import AccountMeta, Instruction
from solders.message import MessageV0, MessageV1, TransactionConfig, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature as SoldersSignature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction
from spl.token.instructions import create_idempotent_associated_token_account, transfer_checked
from spl.token.models import TransferCheckedParams

from chain.programs import MEMO_PROGRAM
from chain.settings import MICROLAMPORTS, FeeSettings
from chain.signer import KeyPath, Signer
from chain.tokens import Token
from chain.trouble import Frozen
from rooms.units import LAMPORTS_MAX, Address, BlockHeight, Lamports, Signature, Slot

MEMO_BYTES_MAX = 119
BYTES_MAX = {0: 1_232, 1: 4_096}
TRANSFERS_MAX = {0: 16, 1: 60}
# Beside its two ends a token transfer names a mint, and the first of a room opens an account.
TOKEN_TRANSFERS_MAX = {0: 10, 1: 50}
TOKEN_TRANSFER_WEIGHT = 30
TOKEN_OPENING_WEIGHT = 120
ADDRESSES_MAX = 64


class Unbuildable(ValueError):
    """A batch that no transaction can carry: its planner erred, or must make it smaller."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Lamports from an address of ours to any address."""

    source: Address
    destination: Address
    lamports: Lamports


@dataclass(frozen=True, slots=True)
class TokenTransfer:
    """A token's base units from a token account of ours to any token account.

    Attributes:
        owner: the address of ours that signs for the source.
    """

    token: Token
    owner: Address
    source: Address
    destination: Address
    amount: int


@dataclass(frozen=True, slots=True)
class TokenOpening:
    """A token account that is opened for an owner, when it is not there yet.

    Its rent comes by a transfer before it, so that it costs what was planned, whoever sent what to
    its address meanwhile.
    """

    token: Token
    owner: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Transfers that land together or not at all; or none, and a memo of the fee payer.

    They happen in this order: lamports, token accounts, tokens.

    Attributes:
        transfers: of lamports, in the order in which the runtime does them.
        memo: printable ASCII, under 120 bytes.
        owner: whose money it is; this address signs the memo and is a source of the transfers.
        fee_payer: pays the network's fee.
        may_repeat: the same source may pay the same destination twice; otherwise that is refused.
        openings: token accounts that must be there before tokens move.
        tokens: transfers of tokens.
    """

    transfers: tuple[Transfer, ...]
    memo: str
    owner: Address
    fee_payer: Address
    may_repeat: bool = False
    openings: tuple[TokenOpening, ...] = ()
    tokens: tuple[TokenTransfer, ...] = ()

    def __post_init__(self) -> None:
        _must(
            self.transfers or self.tokens or self.owner == self.fee_payer,
            "a batch has at least one transfer, or is a word of the fee payer's own",
        )
        for each in self.transfers:
            _must(0 < each.lamports <= LAMPORTS_MAX, "a transfer moves at least one lamport")
            _must(each.source != each.destination, "a transfer goes from one address to another")
        for token in self.tokens:
            _must(0 < token.amount <= LAMPORTS_MAX, "a transfer moves at least one base unit")
            _must(token.source != token.destination, "a transfer goes from one account to another")
        owners = {each.owner for each in self.tokens} or {each.source for each in self.transfers}
        _must(
            not owners or self.owner in owners,
            "the memo's signer is the owner of money that moves",
        )
        _must(bool(self.memo), "a batch has a memo")
        _must(
            self.memo.isascii() and self.memo.isprintable(), "a memo is one line of printable ASCII"
        )
        _must(len(self.memo) <= MEMO_BYTES_MAX, f"a memo has at most {MEMO_BYTES_MAX} bytes")
        moves = [(each.source, each.destination) for each in self.transfers]
        moves += [(each.source, each.destination) for each in self.tokens]
        routes = set(moves)
        _must(
            self.may_repeat or len(routes) == len(moves),
            "the same source pays the same destination twice",
        )

    @property
    def weight(self) -> int:
        """Return how many transfers of lamports it is as heavy as: what it holds, and computes."""
        return (
            len(self.transfers)
            + TOKEN_TRANSFER_WEIGHT * len(self.tokens)
            + TOKEN_OPENING_WEIGHT * len(self.openings)
        )


@dataclass(frozen=True, slots=True)
class RecentBlockhash:
    """A blockhash, the last block height at which it is good, and the slot it was read at."""

    blockhash: str
    last_valid_height: BlockHeight
    context_slot: Slot


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """What is written down before the first send.

    Attributes:
        raw: the bytes to send, now and again; never others.
        signature: the transaction's name.
        blockhash: what makes it recent.
        last_valid_height: above this block height it can no longer land.
        context_slot: of the blockhash; it lands after this slot or never.
        signers: who signed, the fee payer first.
    """

    raw: bytes
    signature: Signature
    blockhash: str
    last_valid_height: BlockHeight
    context_slot: Slot
    signers: tuple[Address, ...]


def message_bytes(
    batch: Batch,
    blockhash: str,
    fees: FeeSettings,
    priority_fee_lamports: Lamports | None = None,
    compute_units: int | None = None,
) -> bytes:
    """Compile a batch into the bytes that are signed.

    ``compute_units`` and ``priority_fee_lamports`` replace what the settings say.

    Raises:
        Unbuildable: when it does not fit, or offers more than the cap.
    """
    return to_bytes_versioned(
        _message(batch, blockhash, fees, priority_fee_lamports, compute_units)
    )


async def sign_batch(
    signer: Signer,
    batch: Batch,
    paths: Mapping[Address, KeyPath],
    recent: RecentBlockhash,
    fees: FeeSettings,
    priority_fee_lamports: Lamports | None = None,
    compute_units: int | None = None,
) -> SignedTransaction:
    """Compile a batch and have it signed; ``paths`` names the key of each source and the fee payer.

    Raises:
        Unbuildable: when it does not fit, offers more than the cap, or a signer has no path.
        Frozen: when a signature does not belong to this message and the signer expected.
    """
    message = _message(batch, recent.blockhash, fees, priority_fee_lamports, compute_units)
    content = to_bytes_versioned(message)
    signers = tuple(
        Address(str(key)) for key in message.account_keys[: message.header.num_required_signatures]
    )
    for address in signers:
        _must(address in paths, f"{address} has to sign and has no key path")
    signatures = await signer.sign(content, [paths[address] for address in signers])
    raw = _checked(message, content, signers, signatures)
    return SignedTransaction(
        raw=raw,
        signature=Signature(str(SoldersSignature.from_bytes(signatures[0]))),
        blockhash=recent.blockhash,
        last_valid_height=recent.last_valid_height,
        context_slot=recent.context_slot,
        signers=signers,
    )


def signature_of(raw: bytes) -> Signature:
    """Read the name of a signed transaction out of its own bytes."""
    return Signature(str(VersionedTransaction.from_bytes(raw).signatures[0]))


def without_signatures(raw: bytes) -> bytes:
    """Return a transaction with empty signatures: it can be simulated, and can never land."""
    transaction = VersionedTransaction.from_bytes(raw)
    empty = [SoldersSignature.default()] * len(transaction.signatures)
    return bytes(VersionedTransaction.populate(transaction.message, empty))


def _message(
    batch: Batch,
    blockhash: str,
    fees: FeeSettings,
    priority_fee_lamports: Lamports | None,
    compute_units: int | None,
) -> MessageV0 | MessageV1:
    most = (TOKEN_TRANSFERS_MAX if batch.tokens else TRANSFERS_MAX)[fees.version]
    _must(
        len(batch.transfers) + len(batch.tokens) <= most,
        f"a version {fees.version} transaction holds at most {most} transfers",
    )
    fee = fees.priority_fee_lamports if priority_fee_lamports is None else priority_fee_lamports
    _must(
        0 <= fee <= fees.priority_fee_lamports_max,
        f"a priority fee of {fee} lamports is outside 0 to {fees.priority_fee_lamports_max}",
    )
    units = compute_units
    if units is None:
        units = fees.compute_units(batch.weight)
    _must(units > 0, "compute units are positive")
    message = _compiled(batch, _hash(blockhash), fees, fee, units)
    _must(
        len(message.account_keys) <= ADDRESSES_MAX,
        f"a transaction names at most {ADDRESSES_MAX} addresses",
    )
    signatures = 64 * message.header.num_required_signatures
    # Version 0 counts its signatures in one byte before them; version 1 needs none.
    size = len(to_bytes_versioned(message)) + signatures + (1 if fees.version == 0 else 0)
    _must(
        size <= BYTES_MAX[fees.version],
        f"{size} bytes do not fit: version {fees.version} holds {BYTES_MAX[fees.version]}",
    )
    return message


def _compiled(
    batch: Batch, blockhash: Hash, fees: FeeSettings, fee: int, units: int
) -> MessageV0 | MessageV1:
    payer = _key(batch.fee_payer)
    instructions = [
        transfer(
            TransferParams(
                from_pubkey=_key(each.source),
                to_pubkey=_key(each.destination),
                lamports=each.lamports,
            )
        )
        for each in batch.transfers
    ]
    owner = AccountMeta(_key(batch.owner), is_signer=True, is_writable=False)
    memo = Instruction(MEMO_PROGRAM, batch.memo.encode("ascii"), [owner])
    # A token account may ask that a memo comes before what it is sent.
    instructions.append(memo)
    instructions += [_opening(payer, each) for each in batch.openings]
    instructions += [_token_transfer(each) for each in batch.tokens]
    if fees.version == 1:
        config = TransactionConfig(
            priority_fee=fee or None,
            compute_unit_limit=units,
            # Unset means none at all in version 1, and then no program can be loaded.
            loaded_accounts_data_size_limit=fees.loaded_bytes,
        )
        return MessageV1.try_compile(payer, instructions, blockhash, config)
    budget = [set_compute_unit_limit(units)]
    if fee:
        # Version 0 offers a price a unit; rounded down, so that the cap holds.
        budget.append(set_compute_unit_price(fee * MICROLAMPORTS // units))
    return MessageV0.try_compile(payer, budget + instructions, [], blockhash)


def _opening(payer: Pubkey, wanted: TokenOpening) -> Instruction:
    return create_idempotent_associated_token_account(
        payer, _key(wanted.owner), _key(wanted.token.mint), _key(wanted.token.program)
    )


def _token_transfer(each: TokenTransfer) -> Instruction:
    return transfer_checked(
        TransferCheckedParams(
            program_id=_key(each.token.program),
            source=_key(each.source),
            mint=_key(each.token.mint),
            dest=_key(each.destination),
            owner=_key(each.owner),
            amount=each.amount,
            decimals=each.token.decimals,
        )
    )


def _checked(
    message: MessageV0 | MessageV1,
    content: bytes,
    signers: Sequence[Address],
    signatures: Sequence[bytes],
) -> bytes:
    if len(signatures) != len(signers):
        raise Frozen(
            f"the signer gave {len(signatures)} signatures where {len(signers)} were asked"
        )
    for address, signature in zip(signers, signatures, strict=True):
        if len(signature) != 64 or not SoldersSignature.from_bytes(signature).verify(
            Pubkey.from_string(address), content
        ):
            raise Frozen(f"the signer gave a signature that is not {address}'s over this message")
    raw = bytes(
        VersionedTransaction.populate(
            message, [SoldersSignature.from_bytes(each) for each in signatures]
        )
    )
    again = VersionedTransaction.from_bytes(raw)
    if to_bytes_versioned(again.message) != content or not all(again.verify_with_results()):
        raise Frozen("the signed transaction does not read back as what was signed")
    return raw


def _key(address: Address) -> Pubkey:
    try:
        return Pubkey.from_string(address)
    except ValueError:
        raise Unbuildable(f"{address!r} is not an address") from None


def _hash(blockhash: str) -> Hash:
    try:
        return Hash.from_string(blockhash)
    except ParseHashError:
        raise Unbuildable(f"{blockhash!r} is not a blockhash") from None


def _must(true: object, rule: str) -> None:
    if not true:
        raise Unbuildable(rule)
