"""Each library has one home, and the documents and the linter know all of them."""

import re
import sys
from collections import defaultdict
from importlib.metadata import distribution

import pytest

from tests.project.repository import PACKAGES, ROOT, document, imported, modules, pyproject, rows

LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-bench.lock")


def named(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[=<>~!; ]", requirement)[0] for requirement in requirements}


def homes() -> dict[str, set[str]]:
    """Return which of our packages import each outside module."""
    found: dict[str, set[str]] = defaultdict(set)
    for package in PACKAGES:
        for path in modules(package):
            for name in imported(path) - set(PACKAGES) - sys.stdlib_module_names:
                found[name].add(package)
    return found


def provided(library: str) -> set[str]:
    """Return the top modules that a library brings."""
    return {
        str(path).split("/", 1)[0].removesuffix(".py") for path in distribution(library).files or ()
    }


def test_the_rules_import_the_standard_library_and_lark_to_read_expressions() -> None:
    outside = {
        str(path.relative_to(ROOT)): strangers
        for path in modules("rooms")
        if (strangers := imported(path) - sys.stdlib_module_names - {"rooms"})
    }
    assert outside == {"rooms/expression/reading.py": {"lark"}}


def test_every_outside_module_has_a_contract() -> None:
    contracts = pyproject()["tool"]["importlinter"]["contracts"]
    protected = {name for each in contracts for name in each.get("protected_modules", [])}
    forbidden = {
        name
        for each in contracts
        if each["type"] == "forbidden" and each["source_modules"] == ["rooms"]
        for name in each["forbidden_modules"]
    }
    assert set(homes()) == protected | forbidden


def test_the_documents_name_every_dependency_and_no_other() -> None:
    project = pyproject()["project"]
    text = document("dependencies.md")
    runs = [row[0] for row in rows(text, "What ROOMS runs on")]
    checks = [row[0] for row in rows(text, "What its checks need")]
    assert set(runs) == named(project["dependencies"])
    assert set(checks) == named(project["optional-dependencies"]["dev"])
    measures = [row[0] for row in rows(text, "What the benchmarks need")]
    assert set(measures) == named(project["optional-dependencies"]["bench"])
    assert runs == sorted(runs)
    assert checks == sorted(checks)
    assert measures == sorted(measures)


def test_the_documents_name_the_homes_in_which_a_dependency_is_imported() -> None:
    imports = homes()
    documented: dict[str, set[str]] = {}
    found: dict[str, set[str]] = {}
    for library, home, _ in rows(document("dependencies.md"), "What ROOMS runs on"):
        documented[library] = set(re.findall(r"`(\w+)`", home))
        importers = {each for module in provided(library) for each in imports.get(module, ())}
        through_another = ", through " in home
        assert not (through_another and importers), f"{library} is imported: name its home"
        found[library] = documented[library] if through_another else importers
    assert documented == found


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_names_no_host_and_hashes_everything(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^--?\w", text, re.MULTILINE), "it names no index"
    pins = [line for line in text.splitlines() if line and line[0] not in " #"]
    assert pins
    assert [
        pin for pin in pins if not re.fullmatch(r"[\w.-]+(\[\w+\])?==\S+( ; .+)? \\", pin)
    ] == []


@pytest.mark.parametrize(
    ("lock", "extras"), [(LOCKS[0], ()), (LOCKS[1], ("dev",)), (LOCKS[2], ("bench",))]
)
def test_a_lock_file_pins_what_pyproject_asks_for(lock: str, extras: tuple[str, ...]) -> None:
    project = pyproject()["project"]
    asked = list(project["dependencies"])
    for extra in ("build", *extras):
        asked += project["optional-dependencies"][extra]
    text = (ROOT / lock).read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([\w.-]+?)(?:\[\w+\])?==([^\s;]+)", text, re.MULTILINE))
    wanted = {
        (re.sub(r"\[\w+\]", "", name), version)
        for name, version in (requirement.split("==") for requirement in asked)
    }
    assert wanted - pinned == set()
