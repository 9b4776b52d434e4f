"""The demo, which is the whole product, on Apache Kafka: one of each process, and several."""

import pytest

from sandbox.kafka import version
from tests.cli.test_demo import played
from tests.kafka.conftest import needs_kafka

pytestmark = pytest.mark.kafka


def test_the_demo_adds_up_on_apache_kafka_with_several_of_each_process_and_custody_killed() -> None:
    """Injects the death of the custody that signs, which another stood by for.

    Checks every lamport on both providers, and that each gateway told every event of every room.
    """
    needs_kafka()
    several = [f"--scale={each}" for each in ("feeds=2", "worker=3", "custody=2", "gateway=2")]
    facts = played("--seed", "1", "--kafka", "apache", "--kill", "custody", *several)

    assert facts["broker"] == f"Apache Kafka {version()}"
    assert {"feeds-2", "worker-3", "custody-2", "gateway-2"} <= set(facts["processes"])
    assert facts["adds_up"], facts["faults"]
    assert {room["feed"]: room["outcome"] for room in facts["rooms"]} == {
        "SOL/USD": "YES",
        "ETH/USD": "NO",
        "BTC/USD": "VOID",
    }
