"""The demo, which is the whole product, with Apache Kafka for a broker."""

import pytest

from sandbox.kafka import version
from tests.cli.test_demo import played
from tests.kafka.conftest import needs_kafka

pytestmark = pytest.mark.kafka


def test_the_demo_adds_up_on_apache_kafka() -> None:
    needs_kafka()
    facts = played("--seed", "1", "--kafka", "apache")

    assert facts["broker"] == f"Apache Kafka {version()}"
    assert facts["adds_up"], facts["faults"]
    assert {room["feed"]: room["outcome"] for room in facts["rooms"]} == {
        "SOL/USD": "YES",
        "ETH/USD": "NO",
        "BTC/USD": "VOID",
    }
