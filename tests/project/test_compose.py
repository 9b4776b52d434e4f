"""`docker-compose.yml` is a compose file, runs every process, and keeps secrets out of itself."""

import json
import re
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
import yaml

from cli.embedded import SANDBOX, Stack
from cli.main import app
from cli.ports import Ports
from cli.settings import PREFIX, Settings, read_settings_from
from streams.app import SESSION_TIMEOUT_S
from tests.project.repository import PACKAGES, ROOT, document, rows

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
STACK = Stack(folder=ROOT / ".rooms", ports=Ports(*range(13)), venues=SANDBOX)
PROCESSES = {"feeds", "worker", "custody", "bot", "gateway", "auditor", "recorder"}
COMMAND = {"recorder": "record"}
SECRET = {
    f"{PREFIX}{name}"
    for name in (
        "DATABASE_URL",
        "KEYSTORE_PASSPHRASE",
        "TELEGRAM_TOKEN",
        "FACTOR_KEY",
        "SOLANA_URLS",
    )
}

ours = pytest.mark.parametrize("name", sorted(OURS))


def test_it_keeps_to_the_compose_specification() -> None:
    schema = files("check_jsonschema.builtin_schemas") / "vendor" / "compose-spec.json"
    validator = jsonschema.Draft7Validator(json.loads(schema.read_text(encoding="utf-8")))
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []
    assert not validator.is_valid({"services": {"worker": {"imagge": "rooms"}}})


def test_every_process_of_the_product_is_there() -> None:
    assert {row[0] for row in rows(document("running.md"), "Processes")} == PROCESSES
    assert set(OURS) == PROCESSES | {"migrate", "doctor"}
    assert set(SERVICES) - set(OURS) == {"postgres", "valkey", "kafka"}


@ours
def test_a_service_runs_the_command_of_its_name(name: str) -> None:
    known = {command.name or command.callback.__name__ for command in app.registered_commands}  # type: ignore[union-attr]
    assert OURS[name]["command"] == [COMMAND.get(name, name)]
    assert OURS[name]["command"][0] in known


@ours
def test_a_service_sets_only_real_settings(name: str) -> None:
    settings = read_settings_from(OURS[name]["environment"])
    assert settings.profile == "production"
    assert settings.kafka == "kafka:9092"


def test_no_secret_stands_in_the_file() -> None:
    for service in SERVICES.values():
        assert SECRET.isdisjoint(service.get("environment", {}))
        assert not [name for name in service.get("environment", {}) if name.endswith("PASSWORD")]


def test_each_process_is_handed_only_its_own_secrets() -> None:
    files = {
        name: {each["path"].removeprefix("secrets/") for each in service["env_file"]}
        for name, service in OURS.items()
        if name != "doctor"
    }
    for name, given in files.items():
        # Each comes to the database as its own role; only who migrates comes as the owner.
        mine = "database.env" if name == "migrate" else f"{name}-database.env"
        assert mine in given
        given.remove(mine)
    assert {name: given for name, given in files.items() if given} == {
        "custody": {"custody.env", "chain.env"},
        "auditor": {"chain.env"},
        "bot": {"bot.env"},
    }
    holding = [name for name in OURS if "volumes" in OURS[name]]
    assert holding == ["custody", "auditor", "recorder", "doctor"]
    assert [name for name, service in OURS.items() if "profiles" in service] == ["doctor"]


def test_the_secret_files_are_documented_with_real_settings() -> None:
    documented = {
        row[0].strip("`"): set(re.findall(r"\bROOMS_\w+", row[1]))
        for row in rows(document("running.md"), "In production")
    }
    used = {each["path"] for service in OURS.values() for each in service["env_file"]}
    used |= {each["file"] for each in COMPOSE["secrets"].values()}
    assert set(documented) == used
    named = set().union(*documented.values())
    assert named == SECRET
    assert {name.removeprefix(PREFIX).lower() for name in named} <= set(Settings.model_fields)


def test_only_the_gateway_s_port_is_published() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["gateway"]
    (port,) = OURS["gateway"]["ports"]
    assert port.endswith(f":{Settings.model_fields['gateway_port'].default}")
    assert OURS["gateway"]["environment"]["ROOMS_GATEWAY_HOST"] == "0.0.0.0"


def test_who_needs_no_internet_has_none() -> None:
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    outside = {name for name, service in SERVICES.items() if "outside" in service["networks"]}
    assert outside == {"feeds", "custody", "bot", "gateway", "auditor", "doctor"}


def test_every_server_is_healthy_before_who_needs_it_starts() -> None:
    servers = set(SERVICES) - set(OURS)
    assert all("healthcheck" in SERVICES[server] for server in servers)
    needs = {child.name: set(child.needs) & {"postgres", "valkey"} for child in STACK.processes()}
    brokers = {child.name for child in STACK.processes() if "broker" in child.needs}
    for name in PROCESSES:
        after = {each: how["condition"] for each, how in OURS[name]["depends_on"].items()}
        assert after.pop("migrate") == "service_completed_successfully"
        assert set(after) == needs[name] | ({"kafka"} if name in brokers else set())
        assert set(after.values()) == {"service_healthy"}


def test_every_image_is_pinned_by_its_version() -> None:
    images = [service["image"] for service in SERVICES.values()]
    images += re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert [
        image for image in images if not re.search(r":\d+\.\d+(\.\d+)?(-[\w-]+)?$", image)
    ] == []
    assert SERVICES["postgres"]["image"].startswith("postgres:18.")


def test_what_dies_is_started_again() -> None:
    ends = {"migrate": "on-failure:3", "doctor": "no"}
    for name, service in SERVICES.items():
        assert service["restart"] == ends.get(name, "unless-stopped")


def test_everything_that_is_mounted_by_name_is_declared() -> None:
    used = {
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
    }
    assert used == set(COMPOSE["volumes"])
    # Since version 18 the image keeps its data in a folder of the version, one level higher.
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]


def test_kafka_allows_our_sessions_and_makes_no_topics() -> None:
    kafka = SERVICES["kafka"]["environment"]
    assert kafka["KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS"] == SESSION_TIMEOUT_S * 1000
    assert kafka["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert kafka["KAFKA_LOG_DIRS"] == SERVICES["kafka"]["volumes"][0].partition(":")[2]


def test_our_containers_may_do_little() -> None:
    for service in OURS.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_image_holds_every_package_and_runs_as_nobody_special() -> None:
    assert set(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE)) == set(PACKAGES)
    assert "pip install --require-hashes -r requirements.lock" in DOCKERFILE
    assert re.findall(r"^USER (\w+)$", DOCKERFILE, re.MULTILINE) == ["rooms"]
    assert not re.search(r"^(ARG|ENV) .*(PASS|TOKEN|KEY|SECRET)", DOCKERFILE, re.MULTILINE)


def test_only_what_the_image_copies_is_sent_to_its_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert lines[1] == "*"
    assert allowed == {name for names in copied for name in names.split()}
