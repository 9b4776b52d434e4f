"""Embedded: the whole stack on one machine, without accounts, as children of one supervisor.

In        a data folder, ports, which venues; settings that differ from production's.
Out       the children in the order in which they start; what must be made before they can.
Promises  the product's own processes get only addresses and secrets: they do not know where they
          run; each comes to the database as its own role; a second start finds the data of the
          first.
"""

import asyncio
import fcntl
import json
import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import httpx

from chain.keystore import Keystore
from chain.signer import KeyPath
from cli.embedded_turnkey import prepare_turnkey, turnkey_values
from cli.logs import LogFormat
from cli.ports import HOST, Ports
from cli.probes import kafka_answers, postgres_answers, valkey_answers
from cli.settings import PREFIX
from cli.supervisor import Child
from rooms.refusal import CannotGoOn
from sandbox import kafka, postgres, valkey
from sandbox.kafka import KafkaSettings
from sandbox.postgres import PostgresSettings
from sandbox.valkey import ValkeySettings
from streams.webhooks import PATH as WEBHOOK_PATH

DATABASE: Final = "rooms"
NOTE: Final = "stack.json"
"""Where a folder's last stack listened, for whoever looks at it from outside."""

PUBLIC: Final = "public"
SANDBOX: Final = "sandbox"
SOURCES: Final = {
    "binance": "/binance/stream",
    "coinbase": "/coinbase",
    "kraken": "/kraken/v2",
    "okx": "/okx/ws/v5/public",
    "bybit": "/bybit/v5/public/spot",
    "bitstamp": "/bitstamp",
    "gemini": "/gemini/v2/marketdata",
    "pyth": "/pyth/hermes/ws",
    "pumpportal": "/pumpportal/api/data",
    "birdeye": "/birdeye/socket/solana",
}
"""Where the sandbox speaks for each source that speaks by itself."""

ASKED: Final = ("jupiter", "dexscreener", "coingecko", "solana", "pumpfun")
"""Sources that have to be asked: on the port where the market is steered."""

KEYED: Final = ("pyth", "pumpportal", "birdeye", "coingecko")
"""Sources that let nobody in without a key; the sandbox takes any."""

PROCESSES: Final[Mapping[str, tuple[str, ...]]] = {
    "custody": ("postgres", "broker", "solana", "turnkey"),
    "worker": ("postgres", "broker", "valkey"),
    "gateway": ("postgres", "broker"),
    "bot": ("postgres", "valkey", "telegram"),
    "feeds": ("postgres", "broker", "venues"),
    "auditor": ("postgres", "solana"),
    "recorder": ("postgres", "broker"),
}
"""The product's own processes, and what each needs, where it is there."""

LISTENS: Final = {"gateway": "GATEWAY_PORT", "feeds": "PUSH_PORT"}
"""Which processes listen, and the setting that says where."""

COMMANDS: Final = {"recorder": "record"}
"""What a process is called as a command, where that is another word."""

ONLY_FOR: Final = {
    "KEYSTORE_PASSPHRASE": "custody",
    "TURNKEY__KEYS": "custody",
    "TELEGRAM_TOKEN": "bot",
    "FACTOR_KEY": "bot",
    "WEBHOOK_AUTHORIZATION": "gateway",
    "SOURCE_KEYS": "feeds",
}
"""Which secret is handed to which process alone."""

RELAXED: Final[Mapping[str, str]] = {
    # Rooms from 20 s, cut 1 s and watch 3 s after lock; withdrawals leave at once, winnings too.
    "LIMITS__OPEN_MS_MIN": "5000",
    "LIMITS__SPAN_MS_MIN": "20000",
    "LIMITS__CUT_MS": "1000",
    "LIMITS__WATCH_MS": "3000",
    "LIMITS__WARM_MS": "5000",
    "WITHDRAWALS__FREE_LAMPORTS_DAY": "100000000000",
    "WITHDRAWALS__PIN_ONLY_LAMPORTS_DAY": "2000000000",
    "WITHDRAWALS__COOL_DOWN_MS": "0",
    "WITHDRAWALS__DELAY_MS": "0",
    "WITHDRAWALS__LARGE_DELAY_MS": "0",
    "WITHDRAWALS__WINNINGS_MS": "2000",
    "AUDIT_MEMO_MS": "60000",
    "DEPOSIT_SWEEP_MS": "1000",
    "RETURNS_MS": "5000",
    "STAKES_PER_SECOND": "200",
    "SENDS_PER_SECOND": "2000",
    "LANDING_MS": "1000",
}


def names_with_copies(copies: Mapping[str, int]) -> list[str]:
    """Name the product's own processes: `worker`, and of more than one `worker-2`, …."""
    return [
        _numbered(name, number)
        for name in PROCESSES
        for number in range(1, copies.get(name, 1) + 1)
    ]


def servers_needed(*, turnkey: bool) -> list[str]:
    """Name the servers that the product's processes need; Turnkey's only where keys lie there."""
    needed = {each for needs in PROCESSES.values() for each in needs}
    return sorted(needed if turnkey else needed - {"turnkey"})


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Say where an embedded stack lives and what it talks to.

    Attributes:
        venues: `PUBLIC`, or `SANDBOX` for the seeded market or ``recording``.
        apache: Apache Kafka is the broker, instead of our own.
        copies: how many of a process there are, where that is not one.
        more_ports: where further copies of a process that listens do, one port each.
        logs_to_files: children write into files instead of to the person.
        coloured: the person reads them on a terminal.
        turnkey: people's, vaults' and the treasury's keys lie in a Turnkey organisation of our own.
        extra: settings beside the relaxed ones, without their prefix.
    """

    folder: Path
    ports: Ports
    venues: str
    seed: int = 1
    recording: Path | None = None
    apache: bool = False
    turnkey: bool = False
    copies: Mapping[str, int] = field(default_factory=dict)
    more_ports: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    logs_to_files: bool = False
    log_format: LogFormat = "people"
    coloured: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def broker(self) -> str:
        """Return what is the broker, for a person."""
        return f"Apache Kafka {kafka.version()}" if self.apache else "the broker"

    @property
    def page_url(self) -> str:
        """Return where the chat page is."""
        return f"http://{HOST}:{self.ports.page}/"

    @property
    def gateway_url(self) -> str:
        """Return where programs subscribe."""
        return f"ws://{HOST}:{self.ports.gateway}/v1"

    @property
    def gateways(self) -> dict[str, str]:
        """Return the address of each gateway, by its name."""
        ports = (self.ports.gateway, *self.more_ports.get("gateway", ()))
        names = ("gateway", *(f"gateway-{number}" for number in range(2, len(ports) + 1)))
        return {name: f"ws://{HOST}:{port}" for name, port in zip(names, ports, strict=True)}

    @property
    def solana_url(self) -> str:
        """Return the first RPC address of the chain."""
        return f"http://{HOST}:{self.ports.solana}"

    @property
    def venues_control_url(self) -> str:
        """Return where the sandbox venues are steered."""
        return f"http://{HOST}:{self.ports.venues_control}"

    @property
    def postgres(self) -> PostgresSettings:
        """Return where the database is."""
        return PostgresSettings(data_dir=self.folder / "postgres", port=self.ports.postgres)

    @property
    def keystore(self) -> Path:
        """Return where custody's keys are."""
        return self.folder / "keystore"

    def environment(self) -> dict[str, str]:
        """Return the settings of the product's own processes."""
        solana = [f"http://{HOST}:{port}" for port in (self.ports.solana, self.ports.solana_second)]
        values = {
            "PROFILE": "embedded",
            "LOG_FORMAT": self.log_format,
            "DATABASE_URL": self.postgres.dsn(DATABASE),
            "REDIS_URL": f"redis://{HOST}:{self.ports.valkey}/0",
            "KAFKA": f"{HOST}:{self.ports.broker}",
            "SOLANA_URLS": json.dumps(solana),
            "TELEGRAM_URL": f"http://{HOST}:{self.ports.page}/bot",
            "TELEGRAM_TOKEN": self._secret("telegram-token", _new_token),
            "FACTOR_KEY": self._secret("factor-key", _new_passphrase),
            "KEYSTORE": str(self.keystore),
            "RECORDINGS": str(self.folder / "recordings"),
            "AUDIT_HEAD": str(self.folder / "audit-head"),
            "KEYSTORE_PASSPHRASE": self._secret("passphrase", _new_passphrase),
            "PUSH_PORT": str(self.ports.push),
            "WEBHOOK_PORT": str(self.ports.webhook),
            "WEBHOOK_AUTHORIZATION": self._secret("webhook-authorization", _new_passphrase),
            "GATEWAY_PORT": str(self.ports.gateway),
            "STANDING_FEEDS": json.dumps(["SOL/USD", "BTC/USD", "ETH/USD"]),
            **RELAXED,
            **self.extra,
        }
        if self.turnkey:
            values |= turnkey_values(self.folder / "turnkey", self.ports.turnkey)
        if self.venues != PUBLIC:
            base = f"ws://{HOST}:{self.ports.venues}"
            urls = {name: base + path for name, path in SOURCES.items()}
            asked = f"{self.venues_control_url}/asked"
            urls |= {name: f"{asked}/{name}" for name in ASKED}
            values["VENUE_URLS"] = json.dumps(urls)
            values["SOURCE_KEYS"] = json.dumps(dict.fromkeys(KEYED, "sandbox"))
        return {f"{PREFIX}{name}": value for name, value in values.items()}

    @classmethod
    def last(cls, folder: Path) -> "Stack | None":
        """Return the stack that was started in a folder last, or None when there was none."""
        if not (folder / NOTE).exists():
            return None
        note = json.loads((folder / NOTE).read_text())
        return cls(folder=folder, ports=Ports(**note["ports"]), venues=note["venues"])

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep every other stack out of the folder while the block runs.

        Raises:
            CannotGoOn: when one is in it, or nothing can be written there.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("w")
        except OSError:
            raise CannotGoOn(
                f"{self.folder} is no folder that can be written: choose another with --data"
            ) from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise CannotGoOn(
                    f"another stack runs in {self.folder}: stop it, or give another folder: "
                    "rooms up --data FOLDER"
                ) from None
            yield

    def prepare_folder(self, say: Callable[[str], None] = lambda _: None) -> bool:
        """Make what needs no server: the database's folder and the keys; say whether it is new."""
        self.folder.mkdir(parents=True, exist_ok=True)
        note = {"ports": asdict(self.ports), "venues": self.venues}
        (self.folder / NOTE).write_text(json.dumps(note))
        (self.folder / "logs").mkdir(exist_ok=True)
        valkey.prepare(self._valkey())
        if self.apache:
            kafka.prepare(self._kafka(), say)
        fresh = postgres.prepare(self.postgres)
        passphrase = self._secret("passphrase", _new_passphrase)
        if not self.keystore.exists():
            Keystore.create(self.keystore, passphrase, secrets.token_bytes)
        if self.turnkey:
            own = Keystore.open(self.keystore, passphrase)
            fee_payer = asyncio.run(own.address(KeyPath.fee_payer()))
            prepare_turnkey(self.folder / "turnkey", fee_payer)
        return fresh

    def servers(self) -> list[Child]:
        """Return the stand-ins for the outside world."""
        children = [
            Child(
                name="postgres",
                argv=tuple(postgres.command(self.postgres)),
                ready=postgres_answers(self.ports.postgres),
                user=postgres.system_user(),
                folder=Path("/"),
                stop_signal=signal.SIGINT,
                log=self._log("postgres", always=True),
            ),
            Child(
                name="valkey",
                argv=tuple(valkey.command(self._valkey())),
                ready=valkey_answers(self.ports.valkey),
                log=self._log("valkey", always=True),
            ),
            self._broker(),
            self._own(
                "solana", "sandbox", "solana", "--port", self.ports.solana,
                "--second-port", self.ports.solana_second,
                "--control-port", self.ports.solana_control,
            ),
            self._own(
                "telegram", "sandbox", "telegram", "--port", self.ports.page,
                "--solana-url", self.solana_url,
            ),
        ]  # fmt: skip
        if self.turnkey:
            children.append(
                self._own("turnkey", "sandbox", "turnkey", "--port", self.ports.turnkey)
            )
        if self.venues != PUBLIC:
            recording = ("--recording", self.recording) if self.recording else ()
            children.append(
                self._own(
                    "venues", "sandbox", "venues", "--port", self.ports.venues,
                    "--control-port", self.ports.venues_control, "--seed", self.seed, *recording,
                )
            )  # fmt: skip
        return children

    def processes(self) -> list[Child]:
        """Return the product's own processes: `worker`, and of more than one `worker-2`, …."""
        servers = {child.name for child in self.servers()}
        return [
            self._own(
                _numbered(name, number),
                COMMANDS.get(name, name),
                needs=tuple(need for need in needs if need in servers),
            )
            for name, needs in PROCESSES.items()
            for number in range(1, self.copies.get(name, 1) + 1)
        ]

    async def fund_operator(self) -> None:
        """Give fee payer and treasury test funds when the fee payer runs low."""
        signer = await asyncio.to_thread(
            Keystore.open, self.keystore, self._secret("passphrase", _new_passphrase)
        )
        async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
            # In Turnkey the treasury's address is known once custody has asked for it.
            funded = (
                [KeyPath.fee_payer()] if self.turnkey else [KeyPath.fee_payer(), KeyPath.treasury()]
            )
            for path in funded:
                address = await signer.address(path)
                if await _ask(client, self.solana_url, "getBalance", address) < FUNDS_LAMPORTS_MIN:
                    await _ask(client, self.solana_url, "requestAirdrop", address, FUNDS_LAMPORTS)

    async def set_webhook(self) -> None:
        """Have the chain tell of deposits, as Helius would."""
        said = {
            "url": f"http://{HOST}:{self.ports.webhook}{WEBHOOK_PATH}",
            "authorization": self._secret("webhook-authorization", _new_passphrase),
        }
        control = f"http://{HOST}:{self.ports.solana_control}/set_webhook"
        async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
            (await client.post(control, json=said)).raise_for_status()

    def _own(self, name: str, *words: object, needs: tuple[str, ...] = ()) -> Child:
        data = ("--data", self.folder / name) if words[0] == "sandbox" else ()
        environment: dict[str, str] = {f"{PREFIX}LOG_FORMAT": self.log_format}
        if words[0] != "sandbox":
            environment |= self.environment()
            process, _, number = name.partition("-")
            own_role = self.postgres.dsn(DATABASE, user=f"rooms_{process}")
            environment[f"{PREFIX}DATABASE_URL"] = own_role
            for secret, owner in ONLY_FOR.items():
                if owner != process:
                    environment.pop(f"{PREFIX}{secret}", None)
            if process in LISTENS and number:
                port = self.more_ports[process][int(number) - 2]
                environment[f"{PREFIX}{LISTENS[process]}"] = str(port)
                # Helius tells one of them.
                environment.pop(f"{PREFIX}WEBHOOK_PORT", None)
        if self.coloured and not self.logs_to_files:
            environment["FORCE_COLOR"] = "1"
        return Child(
            name=name,
            argv=(sys.executable, "-m", "cli", *(str(word) for word in (*words, *data))),
            needs=needs,
            environment=environment,
            log=self._log(name),
        )

    def _broker(self) -> Child:
        if not self.apache:
            return self._own("broker", "sandbox", "broker", "--port", self.ports.broker)
        return Child(
            name="broker",
            argv=tuple(kafka.command(self._kafka())),
            ready=kafka_answers(self.ports.broker),
            log=self._log("broker", always=True),
        )

    def _kafka(self) -> KafkaSettings:
        return KafkaSettings(data_dir=self.folder / "kafka", ports=(self.ports.broker,))

    def _valkey(self) -> ValkeySettings:
        return ValkeySettings(data_dir=self.folder / "valkey", port=self.ports.valkey)

    def _log(self, name: str, *, always: bool = False) -> Path | None:
        return self.folder / "logs" / f"{name}.log" if always or self.logs_to_files else None

    def _secret(self, name: str, new: Callable[[], str]) -> str:
        """Read a secret of this folder, or draw it the first time; only we may read it."""
        path = self.folder / name
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(new())
        return path.read_text()


FUNDS_LAMPORTS: Final = 100_000_000_000
FUNDS_LAMPORTS_MIN: Final = 1_000_000_000


async def _ask(client: httpx.AsyncClient, url: str, method: str, *params: object) -> int:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = (await client.post(url, json=body)).raise_for_status().json()
    if "error" in answer:
        raise RuntimeError(f"the chain refused {method}: {answer['error']['message']}")
    value = answer["result"]
    return int(value["value"]) if isinstance(value, dict) else 0


def _new_token() -> str:
    return f"{secrets.randbelow(9 * 10**9) + 10**9}:{secrets.token_urlsafe(26)[:35]}"


def _new_passphrase() -> str:
    return secrets.token_urlsafe(32)
