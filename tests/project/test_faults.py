"""The lists of faults and of broken rules in the documents name tests that exist."""

import re

from tests.mutations.rules import MUTATIONS
from tests.project.repository import ROOT, document, rows

TEXT = document("testing.md")
LISTED = {
    f"F{number}"
    for first, last in (
        (1, 4), (6, 11), (13, 14), (16, 18), (20, 20), (24, 38), (40, 66), (76, 80),
    )
    for number in range(first, last + 1)
}  # fmt: skip


def exists(test: str) -> bool:
    path, _, name = test.partition("::")
    text = (ROOT / path).read_text(encoding="utf-8") if (ROOT / path).exists() else ""
    return re.search(rf"^(?:async )?def {name}\(", text, re.MULTILINE) is not None


def named(cell: str) -> list[str]:
    return re.findall(r"`(tests/\S+::\w+)`", cell)


def test_every_fault_of_the_list_has_a_test_that_exists() -> None:
    table = {row[0]: row[-1] for row in rows(TEXT, "The fault list")}
    assert set(table) >= LISTED
    for fault, cell in table.items():
        assert named(cell), f"{fault} names no test"
        assert [each for each in named(cell) if not exists(each)] == []


def test_every_rule_can_be_broken_where_it_stands_and_its_test_exists() -> None:
    for mutation in MUTATIONS:
        text = (ROOT / mutation.path).read_text(encoding="utf-8")
        assert text.count(mutation.old) == 1, mutation.rule
        assert exists(mutation.test), mutation.rule


def test_the_broken_rules_are_in_the_document() -> None:
    assert {row[0] for row in rows(TEXT, "Rules broken on purpose")} == {
        each.rule for each in MUTATIONS
    }
