"""Custody: what its stages share: the database, the chain, the signer, and what they may spend.

Holds     the dependencies of addresses, transfers, receipts, seals and deposits.
Promises  the signer's path to an address follows from whose it is, never from a list.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from chain.providers import Providers
from chain.settings import DepositSettings, FeeSettings
from chain.signer import KeyPath, Signer
from rooms.asset import Asset
from rooms.units import Address, Lamports
from storage.addresses import Operator, OwnAddress
from storage.connections import Connection, Connections
from streams.hints import Hints


async def _alone(_: Connection) -> None:
    """Let everything pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Custody:
    """What custody's stages work with.

    Attributes:
        deposit_lamports_min: less than this is dust on a person's address.
        transfers_max: how many transfers one transaction may hold.
        fence: raises in the transaction that writes a signing down when another custody may be
            at work by now; one that is alone by itself needs none.
        epoch: the lease's number, written down with each signing; PostgreSQL refuses an old one.
        tokens: names and mints of what may be staked beside SOL, as the settings have them.
        token_deposits_min: by a token's name, what less than is dust; of one that is not named,
            any amount counts.
        divisions: rooms whose pool was divided again, and what each of their transfers must move.
        fee_payer_lamports_min: with less than this the fee payer signs nothing.
        fee_payer_lamports_low: with less than this an operator is asked to send it some.
        alarms: that were sounded and are not over.
        hints: what sockets and webhooks say that custody should look at now.
        watched_max: how many people's addresses are heard of by socket.
    """

    connections: Connections
    providers: Providers
    signer: Signer
    operator: Operator
    fees: FeeSettings
    deposits: DepositSettings
    deposit_lamports_min: Lamports
    transfers_max: int
    tokens: Mapping[str, Address] = field(default_factory=dict)
    token_deposits_min: Mapping[str, int] = field(default_factory=dict)
    fence: Callable[[Connection], Awaitable[None]] = _alone
    epoch: int = 0
    divisions: dict[int, Mapping[str, Lamports]] = field(default_factory=dict)
    fee_payer_lamports_min: Lamports = Lamports(0)
    fee_payer_lamports_low: Lamports = Lamports(0)
    alarms: set[str] = field(default_factory=set)
    hints: Hints = field(default_factory=Hints)
    watched_max: int = 0

    def deposit_min(self, asset: Asset) -> Lamports:
        """Return what less than is dust on a person's address."""
        if not asset.is_token:
            return self.deposit_lamports_min
        return Lamports(max(1, self.token_deposits_min.get(asset.name, 1)))


def path_of(owner: OwnAddress) -> KeyPath:
    """Return the signer's path to an address of ours: it follows from whose it is."""
    match owner.kind:
        case "user":
            assert owner.user is not None, "a person's address names the person"
            return KeyPath.user(owner.user)
        case "vault":
            assert owner.room is not None, "a vault names its room"
            return KeyPath.vault(owner.room)
        case "treasury":
            return KeyPath.treasury()
        case "fee_payer":
            return KeyPath.fee_payer()
