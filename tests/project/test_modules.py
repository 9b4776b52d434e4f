"""Every module opens with a card that says what it is; none is named after nothing."""

import re
from pathlib import Path

from tests.project.repository import PACKAGES, ROOT, card, modules

LINES = ("Run", "In", "Out", "Holds", "Promises", "Why")
INDENT = 10
VAGUE = {"utils", "helpers", "base", "common", "manager", "models", "service", "misc"}


def faults(said: str) -> list[str]:
    """Say what is wrong with a module's docstring."""
    about, *rest = said.split("\n\n", 1)
    found = []
    if not re.fullmatch(r"\w[^:\n]*: [^\n].*[.:?]", about, re.DOTALL):
        found.append("it opens with a name, a colon and a sentence")
    lines = rest[0].splitlines() if rest else []
    heads = []
    for line in lines:
        head = re.match(r"(\w+)( +)(?=\S)", line)
        if head is not None and len(head[0]) == INDENT:
            heads.append(head[1])
        elif line.strip() and not line.startswith(" " * INDENT):
            found.append(f"not aligned: {line[:30]}")
    if heads != [name for name in LINES if name in heads]:
        found.append(f"its lines are some of {', '.join(LINES)}, in this order, each once")
    return found


def wrong_in(*packages: str) -> dict[str, list[str]]:
    return {
        str(path.relative_to(ROOT)): found
        for path in modules(*packages)
        if path.stat().st_size and (found := faults(card(path)))
    }


def test_every_module_opens_with_a_card() -> None:
    assert wrong_in(*PACKAGES) == {}


def test_every_file_of_tests_says_what_it_proves() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in modules("tests", "benchmarks")
        if path.stat().st_size and not card(path)
    ]
    assert silent == []


def test_no_file_is_named_after_nothing() -> None:
    vague = [path for path in modules(*PACKAGES) if path.stem in VAGUE]
    assert vague == []


def test_every_sql_file_lies_beside_the_module_that_reads_it() -> None:
    def alone(path: Path) -> bool:
        return not path.with_suffix(".py").exists()

    named = [path for path in (ROOT / "storage").glob("*.sql") if alone(path)]
    assert [path.name for path in named] == ["schema.sql"]


def test_a_card_that_is_none_is_noticed() -> None:
    good = (
        "Tick: one value.\n\nIn        a frame.\nOut       a tick,\n          whole.\nWhy       x."
    )
    assert faults(good) == []
    for bad in (
        "",
        "One value.",
        good.replace("In   ", "Why  "),
        good.replace("          whole", "  whole"),
        good + "\nIn        again.",
    ):
        assert faults(bad) != [], bad
