"""What the language of conditions is said to be, it is."""

import re

import pytest

from rooms.expression import form, reading
from rooms.expression.form import formula
from rooms.expression.reading import Misread, read
from rooms.expression.units import unit_of
from tests.project.repository import blocks, document, rows

TEXT = document("conditions.md")


def code(cell: str) -> str:
    return cell.strip("`")


@pytest.mark.parametrize("row", rows(TEXT, "What can be written"), ids=lambda row: row[0])
def test_what_can_be_written_is_read_as_the_unit_that_is_shown(row: list[str]) -> None:
    typed, _, unit = row
    assert unit_of(read(code(typed)), code(typed)).value == unit


@pytest.mark.parametrize("row", rows(TEXT, "One form"), ids=lambda row: row[0])
def test_what_is_typed_is_written_as_shown(row: list[str]) -> None:
    typed, written = row
    assert formula(code(typed)).text == code(written)


def test_every_example_is_a_feed() -> None:
    assert [formula(line).text for line in blocks(TEXT, "")[0].splitlines()]


@pytest.mark.parametrize("shown", blocks(TEXT, "")[1].strip().split("\n\n"))
def test_every_mistake_is_answered_as_shown(shown: str) -> None:
    with pytest.raises(Misread) as raised:
        formula(shown.splitlines()[0])
    assert f"{raised.value.pointed()}\n{raised.value.sentence}" == shown


def test_the_bounds_are_those_that_are_shown() -> None:
    (sentence,) = re.findall(r"^An expression has (.+)$", TEXT, re.MULTILINE)
    assert [int(number) for number in re.findall(r"\d+", sentence)] == [
        reading.TEXT_MAX,
        reading.NODES_MAX,
        form.FEEDS_MAX,
        form.LEAVES_MAX,
    ]
