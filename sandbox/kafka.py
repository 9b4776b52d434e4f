"""Kafka: Apache Kafka on this machine, run from its jars, one broker or several.

In        a folder for its data and a port on loopback for each broker; `java`, and `mvn` once.
Out       the command that serves each broker, their address; brokers that a test kills and stops.
Promises  the jars are fetched once and kept outside of the data; a second start finds the first
          one's data; topics are made by nobody but who asks for them.
Why       the release comes from the same place as every other package of a machine, so nothing
          needs to be unpacked, and what runs is exactly what is pinned in `kafka.pom.xml`.
"""

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

POM: Final = Path(__file__).with_name("kafka.pom.xml")
HOST: Final = "127.0.0.1"
JAVA_MIN: Final = 17
FETCH_LIMIT_S: Final = 300.0
SAY_EVERY_S: Final = 5.0
FORMAT_LIMIT_S: Final = 60.0
START_LIMIT_S: Final = 90.0
STOP_LIMIT_S: Final = 30.0
PAUSE_S: Final = 0.1
COPIES_MAX: Final = 3
_CLUSTER_ID: Final = "cm9vbXMtcm9vbXMtcm9vbQ"
_API_VERSIONS: Final = struct.pack(">hhih", 18, 0, 1, -1)


class NoKafkaError(OSError):
    """Kafka cannot be run here; the message says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """Say where the data is and where each broker listens.

    Attributes:
        heap_mb: the most that each broker's heap takes.
        session_ms_min: the shortest session that a group may ask for.
        broker_session_ms: a broker that says nothing for so long has left.
    """

    data_dir: Path
    ports: tuple[int, ...]
    heap_mb: int = 384
    session_ms_min: int = 3_000
    broker_session_ms: int = 3_000

    def bootstrap(self) -> str:
        """Return the address of all brokers, as a client is told it."""
        return ",".join(f"{HOST}:{port}" for port in self.ports)

    def folder(self, broker: int) -> Path:
        """Return where one broker keeps its settings, its data and its log."""
        return self.data_dir / f"broker-{broker}"


def version() -> str:
    """Return which release is pinned."""
    pinned = re.search(r"<artifactId>kafka_2\.13</artifactId>\s*<version>(.+?)<", POM.read_text())
    assert pinned is not None, "the pom names the broker"
    return pinned[1]


def missing() -> str | None:
    """Say what this machine lacks to run Kafka, or None."""
    java = shutil.which("java")
    if java is None:
        return f"`java` is missing: install Java {JAVA_MIN} or newer"
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603 - java itself
    major = re.search(r'version "(\d+)', said)
    if major is None or int(major[1]) < JAVA_MIN:
        return f"this `java` is too old: install Java {JAVA_MIN} or newer"
    if not _jars().exists() and shutil.which("mvn") is None:
        return "`mvn` is missing: install Maven, which fetches Kafka once"
    return None


def fetch(say: Callable[[str], None] = lambda _: None) -> Path:
    """Fetch the jars unless they are here, and return their folder; ``say`` how far it is.

    Raises:
        NoKafkaError: when something is missing or they cannot be had.
    """
    if (lacks := missing()) is not None:
        raise NoKafkaError(lacks)
    jars = _jars()
    if jars.exists():
        return jars
    say(f"fetching Apache Kafka {version()} with mvn, once; {FETCH_LIMIT_S:.0f} s at most")
    jars.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=jars.parent) as folder:
        _fetch_into(Path(folder, "jars"), say)
        # Whole or not at all; another process may have been quicker.
        with suppress(OSError):
            Path(folder, "jars").rename(jars)
    say(f"Apache Kafka is in {jars}")
    return jars


def _fetch_into(jars: Path, say: Callable[[str], None]) -> None:
    copy = [
        "mvn", "--batch-mode", "--file", str(POM),
        "dependency:copy-dependencies", f"-DoutputDirectory={jars}",
    ]  # fmt: skip
    said = jars.with_name("mvn.log")
    began = time.monotonic()
    until = began + FETCH_LIMIT_S
    with said.open("wb") as out:
        maven = subprocess.Popen(copy, stdout=out, stderr=out)  # noqa: S603 - the pom is ours
        while True:
            try:
                code = maven.wait(min(SAY_EVERY_S, max(0.0, until - time.monotonic())))
                break
            except subprocess.TimeoutExpired:
                if time.monotonic() >= until:
                    maven.kill()
                    maven.wait()
                    raise NoKafkaError(
                        f"mvn did not fetch Kafka within {FETCH_LIMIT_S:.0f} s; what it has is "
                        "kept, so run it again"
                    ) from None
                files = said.read_text(errors="replace").count("Downloaded from")
                say(f"  {files} files after {time.monotonic() - began:.0f} s")
    if code:
        wrong = [line for line in said.read_text(errors="replace").splitlines() if "ERROR" in line]
        raise NoKafkaError(f"mvn cannot fetch Kafka: {' '.join(wrong[:1])[:400]}")


def prepare(settings: KafkaSettings, say: Callable[[str], None] = lambda _: None) -> None:
    """Write each broker's settings, and its empty folders where there are none.

    Raises:
        NoKafkaError: when Kafka cannot be run here.
    """
    jars = fetch(say)
    controllers = free_ports(len(settings.ports))
    formatting: list[tuple[Path, subprocess.Popen[bytes]]] = []
    for broker in range(len(settings.ports)):
        folder = settings.folder(broker)
        folder.mkdir(parents=True, exist_ok=True)
        properties = folder / "server.properties"
        properties.write_text(_properties(settings, broker, controllers))
        if not (folder / "data" / "meta.properties").exists():
            storage = _java(settings, jars, "kafka.tools.StorageTool")
            storage += ["format", "-t", _CLUSTER_ID, "-c", str(properties)]
            with (folder / "kafka.log").open("ab") as out:
                formatting.append((folder, subprocess.Popen(storage, stdout=out, stderr=out)))  # noqa: S603 - our own words
    for folder, storage_tool in formatting:
        if storage_tool.wait(FORMAT_LIMIT_S):
            raise NoKafkaError(f"Kafka cannot prepare its folder: see {folder / 'kafka.log'}")


def command(settings: KafkaSettings, broker: int = 0) -> list[str]:
    """Return the command that serves a broker until it is told to stop."""
    properties = settings.folder(broker) / "server.properties"
    return [*_java(settings, _jars(), "kafka.Kafka"), str(properties)]


def answers(port: int) -> bool:
    """Say whether a broker speaks Kafka on this port."""
    try:
        with socket.create_connection((HOST, port), timeout=1) as probe:
            probe.sendall(struct.pack(">i", len(_API_VERSIONS)) + _API_VERSIONS)
            return len(probe.recv(8)) == 8
    except OSError:
        return False


def free_ports(count: int) -> tuple[int, ...]:
    """Return ports that nobody listens on now."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind((HOST, 0))
        return tuple(one.getsockname()[1] for one in held)
    finally:
        for one in held:
            one.close()


@dataclass(slots=True)
class Kafka:
    """Brokers that run now."""

    settings: KafkaSettings
    _running: "dict[int, subprocess.Popen[bytes]]" = field(default_factory=dict)

    @property
    def bootstrap(self) -> str:
        """Return the address of all brokers."""
        return self.settings.bootstrap()

    def start(self, brokers: Sequence[int]) -> None:
        """Start brokers and wait until they answer.

        Raises:
            NoKafkaError: when one does not.
        """
        for broker in brokers:
            with self._log(broker).open("ab") as out:
                self._running[broker] = subprocess.Popen(  # noqa: S603 - our own words
                    command(self.settings, broker), stdout=out, stderr=out
                )
        for broker in brokers:
            self._wait_until_ready(broker)

    def kill(self, broker: int) -> None:
        """End a broker at once, as a crash would."""
        self._running[broker].kill()
        self._running.pop(broker).wait()

    def freeze(self, broker: int) -> None:
        """Let a broker do nothing more until it is thawed."""
        self._running[broker].send_signal(signal.SIGSTOP)

    def thaw(self, broker: int) -> None:
        """Let a frozen broker go on."""
        self._running[broker].send_signal(signal.SIGCONT)

    def stop(self, brokers: Sequence[int] | None = None) -> None:
        """Stop brokers politely, all of them unless said."""
        stopping = {
            broker: self._running.pop(broker)
            for broker in (tuple(self._running) if brokers is None else brokers)
        }
        for process in stopping.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in stopping.values():
            try:
                process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _wait_until_ready(self, broker: int) -> None:
        until = time.monotonic() + START_LIMIT_S
        while not answers(self.settings.ports[broker]):
            ended = self._running[broker].poll() is not None
            if ended or time.monotonic() > until:
                why = "ended" if ended else f"did not answer within {START_LIMIT_S:.0f} s"
                raise NoKafkaError(f"broker {broker} {why}: see {self._log(broker)}")
            time.sleep(PAUSE_S)

    def _log(self, broker: int) -> Path:
        return self.settings.folder(broker) / "kafka.log"


@contextmanager
def running_kafka(settings: KafkaSettings) -> Iterator[Kafka]:
    """Serve all brokers while the block runs.

    Raises:
        NoKafkaError: when Kafka cannot be run here.
    """
    prepare(settings)
    kafka = Kafka(settings)
    try:
        kafka.start(range(len(settings.ports)))
        yield kafka
    finally:
        kafka.stop()


def _jars() -> Path:
    """Return where the pinned release lies, or will lie; all checkouts of a person share it."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "rooms" / f"kafka-{version()}"


def _java(settings: KafkaSettings, jars: Path, main: str) -> list[str]:
    return [
        "java", f"-Xms{settings.heap_mb}m", f"-Xmx{settings.heap_mb}m", "-XX:+UseSerialGC",
        # The small compiler starts in half the time; a test never lives to see the other pay.
        "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError", "-Dlog4j2.level=INFO",
        "-cp", f"{jars}/*", main,
    ]  # fmt: skip


def _properties(settings: KafkaSettings, broker: int, controllers: Sequence[int]) -> str:
    voters = ",".join(f"{number}@{HOST}:{port}" for number, port in enumerate(controllers))
    copies = min(COPIES_MAX, len(settings.ports))
    in_step = max(1, copies - 1)
    values = {
        "process.roles": "broker,controller",
        "node.id": broker,
        "controller.quorum.voters": voters,
        "listeners": f"PLAINTEXT://{HOST}:{settings.ports[broker]},"
        f"CONTROLLER://{HOST}:{controllers[broker]}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{settings.ports[broker]}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": settings.folder(broker) / "data",
        "auto.create.topics.enable": "false",
        "group.min.session.timeout.ms": settings.session_ms_min,
        "group.initial.rebalance.delay.ms": 0,
        "broker.session.timeout.ms": settings.broker_session_ms,
        "broker.heartbeat.interval.ms": settings.broker_session_ms // 6,
        "min.insync.replicas": in_step,
        "offsets.topic.num.partitions": 4,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.num.partitions": 4,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_step,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_step,
        "log.segment.delete.delay.ms": 1_000,
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())
