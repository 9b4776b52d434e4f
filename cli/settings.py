"""Settings: what an operator may say, read once from ROOMS_* variables.

In        environment variables; nested ones with two underscores: ROOMS_LIMITS__CUT_MS=10000.
Out       one frozen object, checked; secrets that show as stars.
Promises  an unknown ROOMS_* variable refuses to start, since a misspelt setting is a silent one;
          production has the design's numbers, and its flags start closed.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from chain.settings import Endpoint
from cli.logs import LogFormat
from cli.ready import VARIABLE
from rooms.asset import SOL
from rooms.refusal import CannotGoOn
from rooms.room import RoomLimits
from rooms.units import Lamports
from rooms.withdrawal import TokenWithdrawals, WithdrawalLimits
from streams.topics import PARTITIONS, REPLICAS

PREFIX = "ROOMS_"
PROVIDERS_MIN: Final = 2
TOKEN_NAME: Final = re.compile(r"[A-Z0-9]{2,10}")
_NOT_SETTINGS = frozenset({VARIABLE, "ROOMS_TEST_KAFKA", "ROOMS_TEST_SEEDS"})


class BadSettings(CannotGoOn):
    """The settings cannot be used; the message says which and what to do."""


def _version(given: object) -> object:
    """Read the text of a variable, since a literal is only equal to itself."""
    return int(given) if isinstance(given, str) and given in ("0", "1") else given


@dataclass(frozen=True, kw_only=True)
class TurnkeyAccount:
    """The organisation at Turnkey that holds the keys, when custody's keystore does not.

    Attributes:
        organization: its id; while it is empty, every key is in the keystore.
        user: the id of the service's user there, whom the policies are about.
        operator_wallet: holds the treasury; the fee payer's key is always custody's own.
        keys: an API key as PUBLIC:PRIVATE in hex, or two with a comma between; for custody alone.
        requests_per_minute: what we allow ourselves: 70 % of the plan's rate.
        stake_lamports_max: what the policies let leave a person's address at once.
        payout_lamports_max: what they let one transfer out of a vault move.
        floor_lamports_max: what they let the fee payer put under one address.
    """

    url: str = "https://api.turnkey.com"
    organization: str = ""
    user: str = ""
    users_wallet: str = ""
    vaults_wallet: str = ""
    operator_wallet: str = ""
    keys: SecretStr = SecretStr("")
    requests_per_minute: int = 42
    stake_lamports_max: Lamports = Lamports(1_000_000_000_000)
    payout_lamports_max: Lamports = Lamports(10_000_000_000_000)
    floor_lamports_max: Lamports = Lamports(2_000_000)


@dataclass(frozen=True, kw_only=True)
class TokenRule:
    """A token in which rooms may be made; amounts in its base units, of USDC a millionth.

    Attributes:
        mint: whose tokens they are; it is looked at before anything is counted in it.
        stake_min: what the limits of stakes in a room may be at least; so ``stake_max``.
        deposit_min: less is dust.
        transfer_max: what Turnkey's policies let one transfer of it move.
        withdrawals: limits of what is taken out in it, each with its own default.
    """

    mint: str
    stake_min: int = 1_000_000
    stake_max: int = 500_000_000
    deposit_min: int = 500_000
    transfer_max: int = 1_000_000_000_000
    withdrawals: TokenWithdrawals = TokenWithdrawals()


_Limits = TypeVar("_Limits", RoomLimits, TokenRule)


def _in_order(limits: _Limits) -> _Limits:
    """Refuse what must be at least more than it may be at most."""
    names = {each.name for each in fields(limits)}
    for least in sorted(name for name in names if name.endswith("_min")):
        most = f"{least.removesuffix('_min')}_max"
        if most in names and getattr(limits, least) > getattr(limits, most):
            raise ValueError(f"{least} is above {most}")
    return limits


def _is_address(text: str, schemes: tuple[str, ...]) -> bool:
    """Say whether this is an address of such a scheme; its ports, if any, are numbers."""
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and ("," in parts.netloc or parts.port != 0)
    except ValueError:
        return False


class Settings(BaseSettings):
    """All settings of all processes; each process is handed only what it needs."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    profile: Literal["embedded", "production"] = "production"
    log_format: LogFormat = "people"

    database_url: SecretStr = SecretStr("postgresql://postgres@127.0.0.1:8702/rooms")
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:8703/0")
    kafka: str = "127.0.0.1:8704"
    kafka_partitions: int = Field(default=PARTITIONS, ge=1)
    """Of ticks and prices: as many workers as this can share them."""
    kafka_replicas: int = Field(default=REPLICAS, ge=1)
    """Copies of each topic."""
    solana_urls: tuple[SecretStr, ...] = (
        SecretStr("http://127.0.0.1:8705"),
        SecretStr("http://127.0.0.1:8706"),
    )
    """At least two providers; an address carries its key."""
    solana_socket: SecretStr = SecretStr("auto")
    """The websocket that custody is hinted by: the first provider's own, none, or an address."""
    watched_addresses_max: int = Field(default=500, ge=0)
    """How many people's addresses are heard of by it at once."""
    telegram_url: str = "https://api.telegram.org/bot"
    telegram_token: SecretStr = SecretStr("")
    factor_key: SecretStr = SecretStr("")
    """What PINs are sealed with and authenticators' secrets are made of."""

    keystore: Path = Path(".rooms/keystore")
    keystore_passphrase: SecretStr = SecretStr("")

    turnkey: TurnkeyAccount = TurnkeyAccount()
    """Where every key but the fee payer's lies, when an organisation is named."""

    audit_head: Path = Path(".rooms/audit-head")
    """Where the auditor keeps the end of its log, apart from the database."""
    audit_memo_ms: int = Field(default=3_600_000, ge=0)
    """How often custody puts the end of the audit log on the chain; 0 never does."""
    audit_chain_ms: int = Field(default=10_000, ge=100)
    """How often the auditor compares the ledger with the chain."""

    venue_urls: dict[str, str] = Field(default_factory=dict)
    """Source name to its websocket address; a source that is not named uses its public one."""
    source_keys: dict[str, SecretStr] = Field(default_factory=dict)
    """Source name to its API key; a source that wants one and has none is off."""
    standing_feeds: tuple[str, ...] = ()
    """Feeds that are wanted with no room on them too."""
    quorum: int | None = Field(default=None, ge=1)
    """Overrides how many sources must agree, for a place that has fewer."""
    guards: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Feed to guards that differ from its own; ``*`` is every feed."""

    seconds_kept_ms: int = Field(default=86_400_000, ge=3_600_000)
    """How long the seconds of a feed are kept, before now and before every room not paid."""
    recordings: Path = Path(".rooms/recordings")
    """Where `rooms record` keeps what the feeds' logs carried."""
    recording_days: int = Field(default=30, ge=0)
    """For how many days; 0 keeps all."""

    push_host: str = "127.0.0.1"
    push_port: int | None = Field(default=None, ge=1, le=65_535)
    """Where the feeds process takes values that are signed and sent in; nowhere unless set."""

    evidence_wait_ms: int = Field(default=5_000, ge=0)
    """How long a settlement waits for the last of its evidence; 0 waits for nothing."""

    gateway_host: str = "127.0.0.1"
    gateway_port: int = Field(default=8701, ge=1, le=65_535)

    webhook_host: str = "127.0.0.1"
    webhook_port: int | None = Field(default=None, ge=1, le=65_535)
    """Where the gateway process takes Helius' webhooks; nowhere unless set."""
    webhook_authorization: SecretStr = SecretStr("")
    """What Helius sends as the header Authorization, word for word."""

    limits: RoomLimits = RoomLimits()
    withdrawals: WithdrawalLimits = WithdrawalLimits()
    deposit_lamports_min: Lamports = Lamports(5_000_000)
    tokens: dict[str, TokenRule] = Field(default_factory=dict)
    """Name to a token that rooms may be made in, beside SOL; none unless set."""
    deposit_sweep_ms: int = 15_000
    rescan_ms: int = Field(default=86_400_000, ge=0)
    """How often every address's whole history is read on the second provider; 0 never."""
    returns_ms: int = Field(default=600_000, ge=100)
    """How often floors that nobody needs are taken back, and earned shares are given out."""
    floor_idle_ms: int = Field(default=30 * 86_400_000, ge=1)
    """From a person's address where nothing has moved for so long the floor comes back."""
    earning_lamports_min: Lamports = Lamports(100_000)
    """Fewer earned lamports wait for more."""
    stakes_per_second: int = 1
    """What the signer allows; intake takes no bet that could not be signed and land in time."""
    returned_fee_lamports_hour_max: Lamports = Lamports(2_000_000)
    """What the network may take for a person's bets that came back, an hour."""
    sends_per_second: int = Field(default=50, ge=1)
    """What the provider that allows least lets be sent; `rooms doctor` reckons with it."""
    landing_ms: int = 5_000
    priority_fee_lamports: Lamports = Lamports(0)
    """Offered with each transaction, in all."""
    priority_fee_lamports_max: Lamports = Lamports(500_000)
    priority_fee_estimated: bool = False
    """Ask the first provider, Helius, what to offer; never more than the cap."""
    fee_payer_lamports_min: Lamports = Lamports(20_000_000)
    """With less than this the fee payer signs nothing."""
    fee_payer_lamports_low: Lamports = Lamports(100_000_000)
    """With less than this an operator is asked to send it some."""
    transaction_version: Annotated[Literal[0, 1], BeforeValidator(_version)] = 1

    @field_validator("tokens")
    @classmethod
    def _named(cls, tokens: dict[str, TokenRule]) -> dict[str, TokenRule]:
        for name in tokens:
            if not TOKEN_NAME.fullmatch(name) or name == SOL.name:
                raise ValueError(f"{name} is no name for a token: 2 to 10 capitals and digits")
            _in_order(tokens[name])
        return tokens

    @field_validator("limits")
    @classmethod
    def _least_and_most(cls, limits: RoomLimits) -> RoomLimits:
        return _in_order(limits)

    @field_validator("database_url")
    @classmethod
    def _of_postgresql(cls, url: SecretStr) -> SecretStr:
        if not _is_address(url.get_secret_value(), ("postgresql", "postgres")):
            raise ValueError("an address such as postgresql://user:password@host:5432/rooms")
        return url

    @field_validator("redis_url")
    @classmethod
    def _of_redis(cls, url: SecretStr) -> SecretStr:
        if not _is_address(url.get_secret_value(), ("redis", "rediss", "unix")):
            raise ValueError("an address such as redis://host:6379/0, or rediss:// with TLS")
        return url

    @field_validator("solana_urls")
    @classmethod
    def _of_providers(cls, urls: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        http = all(_is_address(url.get_secret_value(), ("http", "https")) for url in urls)
        if not http or len(urls) < PROVIDERS_MIN:
            raise ValueError(
                'the https:// addresses of at least two providers: ["https://…","https://…"]'
            )
        return urls

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the Solana providers, each under a name that may be shown."""
        return tuple(
            Endpoint(f"provider {number}", url.get_secret_value())
            for number, url in enumerate(self.solana_urls, 1)
        )

    @property
    def socket_url(self) -> str | None:
        """Return the address of the websocket that custody is hinted by, which may hold a key.

        Raises:
            BadSettings: when it is none.
        """
        said = self.solana_socket.get_secret_value()
        if said == "none":
            return None
        if said != "auto":
            if not said.startswith(("ws://", "wss://")):
                raise BadSettings("ROOMS_SOLANA_SOCKET: auto, none, or an address with wss://")
            return said
        scheme, _, rest = self.endpoints[0].url.partition("://")
        return f"{'wss' if scheme == 'https' else 'ws'}://{rest}"

    @property
    def token_stakes(self) -> dict[str, tuple[Lamports, Lamports]]:
        """Return, by token, the least and the most that a room's stake limit may be."""
        return {
            name: (Lamports(rule.stake_min), Lamports(rule.stake_max))
            for name, rule in self.tokens.items()
        }

    @property
    def dsn(self) -> str:
        """Return the database's address, which may hold a password: never log it."""
        return self.database_url.get_secret_value()


def read_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        BadSettings: with every setting that is wrong and what is expected.
    """
    return read_settings_from(os.environ)


def read_settings_from(environment: Mapping[str, str]) -> Settings:
    """Read the settings from variables, of which those of other programs do not matter.

    Raises:
        BadSettings: with every setting that is wrong and what is expected.
    """
    given = {
        name.upper(): value
        for name, value in environment.items()
        if name.upper().startswith(PREFIX) and name.upper() not in _NOT_SETTINGS
    }
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    unknown = sorted(name for name in given if name.partition("__")[0] not in known)
    if unknown:
        raise BadSettings(f"unknown settings: {', '.join(unknown)}; see docs/settings.md")
    try:
        return _settings_of(given)
    except ValidationError as error:
        lines = (
            f"{PREFIX}{'__'.join(str(part) for part in one['loc']).upper()}: "
            f"{one['msg'].removeprefix('Value error, ')}"
            for one in error.errors(include_url=False, include_input=False)
        )
        raise BadSettings("; ".join(lines)) from None
    except SettingsError as error:
        raise BadSettings(f"a list or a table among the settings is not JSON: {error}") from None


def _settings_of(given: Mapping[str, str]) -> Settings:
    """Build the settings from these variables and no others."""

    class Given(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            assert isinstance(env_settings, EnvSettingsSource), "variables come from a mapping"
            env_settings.env_vars = {name.lower(): value for name, value in given.items()}
            return (env_settings,)

    return Given()
