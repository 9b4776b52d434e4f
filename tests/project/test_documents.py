"""What the documents point at is there, and the commands that they show exist."""

import re
from pathlib import Path

import pytest
import typer

from cli.main import app
from cli.ports import BASE, Ports
from rooms.event import Kind
from storage.flags import Flag
from streams.feeds.sources import SOURCES
from streams.topics import declared
from tests.project.repository import DOCUMENTS, ROOT, blocks, document, rows

COMMANDS = {
    name: typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    for name in typer.main.get_command(app).commands  # type: ignore[attr-defined]
}
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

documents = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)


def code_of(path: Path) -> str:
    """Return everything that a document shows as code, without its tables of frames."""
    text = path.read_text(encoding="utf-8")
    return "\n".join([*blocks(text, "sh"), *re.findall(r"(?<!`)`([^`\n]+)`", text)])


def anchors(path: Path) -> set[str]:
    """Return the names under which a document's headings can be reached."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@documents
def test_every_link_leads_somewhere(path: Path) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        if not found.exists() or (anchor and anchor not in anchors(found)):
            dead.append(target)
    assert dead == []


@documents
def test_every_file_that_is_named_is_there(path: Path) -> None:
    named = re.findall(
        r"(?<![\w./-])((?:rooms|storage|chain|streams|bot|sandbox|cli|tests|benchmarks|docs)/[\w./-]*[\w/])",
        code_of(path),
    )
    assert [each for each in named if not (ROOT / each).exists() and "NAME" not in each] == []


@documents
def test_every_command_that_is_shown_exists_with_its_options(path: Path) -> None:
    wrong = []
    for line in code_of(path).splitlines():
        for shown in re.findall(r"\brooms ((?:[a-z]+\b)(?: [^#|;&]*)?)", line.partition("#")[0]):
            name, *words = shown.split()
            options = {word.partition("=")[0] for word in words if word.startswith("--")}
            if name not in COMMANDS:
                wrong.append(shown)
                continue
            command = COMMANDS[name]
            if words and words[0] in (parts := getattr(command, "commands", {})):
                command = parts[words[0]]
            known = {option for each in command.params for option in each.opts} | {"--help"}
            wrong += [f"{name} {option}" for option in options - known]
    assert wrong == []


@documents
def test_every_target_of_make_that_is_shown_exists(path: Path) -> None:
    shown = set(
        re.findall(r"^make (\w+)|`make (\w+)`", code_of(path) + path.read_text("utf-8"), re.M)
    )
    named = {name for pair in shown for name in pair if name}
    assert named <= set(re.findall(r"^(\w+):", MAKEFILE, re.MULTILINE))


def test_the_readme_leads_to_every_document() -> None:
    linked = {(ROOT / target).resolve() for target in re.findall(r"\]\((docs/[^)#]+)", README)}
    decisions = ROOT / "docs" / "decisions"
    beside = {path for path in DOCUMENTS[1:] if decisions not in path.parents} | {decisions}
    assert linked == beside


def test_every_command_is_documented() -> None:
    shown = re.findall(
        r"`rooms (\w+)`", "".join(row[0] for row in rows(document("running.md"), "Commands"))
    )
    assert sorted(shown) == sorted(COMMANDS)


def test_the_documented_ports_are_those_of_rooms_up() -> None:
    table = rows(document("running.md"), "On one machine, without accounts")
    shown = {row[0]: re.split("[:,]", row[1])[0] for row in table if row[0].isdigit()}
    ports = Ports(*range(BASE, BASE + 13))
    assert shown == {str(port): name for name, port in ports.named()}


def test_every_flag_is_documented() -> None:
    text = document("running.md").partition("### Flags")[2].partition("###")[0]
    assert all(f"`{flag.value}`" in text for flag in Flag)


def test_the_architecture_names_every_topic_with_its_partitions() -> None:
    shown = {
        name: int(row[1])
        for row in rows(document("architecture.md"), "Topics")
        for name in re.findall(r"`(\w+)`", row[0])
    }
    assert shown == {topic.name: topic.partitions for topic in declared()}


def test_the_words_name_every_source() -> None:
    (row,) = (row for row in rows(document("words.md")) if row[0].startswith("source"))
    assert set(re.findall(r"`(\w+)`", row[1])) == set(SOURCES)


@documents
def test_no_word_is_used_that_means_something_else_here(path: Path) -> None:
    text = re.sub(r"`[^`]*`", "", path.read_text(encoding="utf-8").lower())
    if path.name != "words.md":
        assert not re.search(r"\b(oracle|strike price|dead letter)\b", text)


def test_events_are_told_under_the_kinds_that_the_code_knows() -> None:
    shown = set(re.findall(r"`((?:room|stake|watch|payout)\.\w+)`", document("subscribing.md")))
    assert shown <= {kind.value for kind in Kind}
