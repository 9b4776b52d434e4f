"""A Turnkey organisation on loopback with our wallets, users and policies, and a signer for it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chain.settings import FeeSettings
from chain.signer import Wallet
from chain.transactions import RecentBlockhash
from chain.turnkey.api import TurnkeyApi
from chain.turnkey.policies import PolicyFacts, TokenCap, policies
from chain.turnkey.settings import ApiKey, TurnkeySettings
from chain.turnkey.signer import TurnkeySigner
from rooms.units import Address, BlockHeight, Lamports, Slot, UnixMs
from sandbox.turnkey import stamps
from sandbox.turnkey.serve import RunningTurnkey, running_turnkey
from sandbox.turnkey.serve import TurnkeySettings as ServerSettings
from tests.chain.world import address, keypair

FEE_PAYER = address(keypair(901).pubkey())
SERVICE = "service"
RECENT = RecentBlockhash("1" * 32, BlockHeight(150), Slot(1))
FEES = FeeSettings()
CAP = Lamports(50_000_000_000)
FLOOR_MAX = Lamports(2_000_000)
NOW = UnixMs(1_795_000_000_000)


def api_key(number: int) -> ApiKey:
    """Give the same P-256 key for the same number."""
    return ApiKey(*stamps.api_key(number))


@dataclass
class Clock:
    """A clock that goes when it is told to."""

    now: int = NOW

    def __call__(self) -> UnixMs:
        return UnixMs(self.now)


@dataclass
class Kept:
    """Requests kept in memory, as a table keeps them; ``seen`` counts what each name was asked."""

    bodies: dict[str, tuple[bytes, UnixMs]] = field(default_factory=dict)

    async def keep(self, name: str, body: bytes, made_at: UnixMs, not_before: UnixMs) -> bytes:
        kept = self.bodies.get(name)
        if kept is None or kept[1] < not_before:
            kept = self.bodies[name] = (body, made_at)
        return kept[0]


@dataclass
class TurnkeyTown:
    """A running organisation and what is needed to be its client."""

    running: RunningTurnkey
    wallets: Mapping[Wallet, str]
    clock: Clock
    kept: Kept
    keys: tuple[ApiKey, ...]
    version: int = 1

    def settings(self, **changes: int) -> TurnkeySettings:
        return TurnkeySettings(
            url=self.running.url,
            organization=self.running.organization.id,
            wallets=self.wallets,
            keys=self.keys,
            **{
                "poll_ms": 1,
                "wait_ms_max": 20,
                "back_off_ms": 1,
                "requests_per_minute": 60_000,
                **changes,
            },
        )

    @asynccontextmanager
    async def signer(self, **changes: int) -> AsyncIterator[TurnkeySigner]:
        async with TurnkeyApi(self.settings(**changes), self.clock) as api:
            yield TurnkeySigner(api, self.kept, self.clock)

    def install(self, *tokens: TokenCap) -> None:
        """Install our policies, and no others."""
        self.running.organization.drop_policies()
        facts = PolicyFacts(
            user=SERVICE,
            users=self.wallets[Wallet.USERS],
            vaults=(self.wallets[Wallet.VAULTS], self.wallets[Wallet.OPERATOR]),
            fee_payer=FEE_PAYER,
            stake_lamports_max=CAP,
            payout_lamports_max=CAP,
            floor_lamports_max=FLOOR_MAX,
            version=1,
            tokens=tokens,
        )
        for each in policies(facts):
            self.running.organization.add_policy(each.intent)


@asynccontextmanager
async def turnkey_town(folder: Path) -> AsyncIterator[TurnkeyTown]:
    """Run an organisation with three wallets, one service user and our policies."""
    clock = Clock()
    async with running_turnkey(ServerSettings(data_dir=folder), clock) as running:
        names = {Wallet.USERS: "users", Wallet.VAULTS: "vaults", Wallet.OPERATOR: "operator"}
        wallets = {each: running.organization.add_wallet(name) for each, name in names.items()}
        keys = (api_key(7), api_key(8))
        for key in keys:
            running.organization.add_user(key.public, SERVICE)
        town = TurnkeyTown(running, wallets, clock, Kept(), keys)
        town.install()
        yield town


def other(number: int) -> Address:
    """Give an outside address."""
    return address(keypair(number).pubkey())
