"""Repository: what the tests of this folder read of the repository itself.

Out       its root, its packages, its documents, its tables and code blocks.
"""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGES = ("rooms", "storage", "chain", "streams", "bot", "sandbox", "cli")
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))


def modules(*packages: str) -> Iterator[Path]:
    """Give every Python file of these folders."""
    for package in packages:
        yield from sorted((ROOT / package).rglob("*.py"))


def card(path: Path) -> str:
    """Return a module's docstring; empty when it has none."""
    text = path.read_text(encoding="utf-8")
    return text[3:].partition('"""')[0].strip() if text.startswith('"""') else ""


def imported(path: Path) -> set[str]:
    """Return the top names of what a module imports, wherever in it."""
    code = re.sub(r'""".*?"""', "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return set(re.findall(r"^[ \t]*(?:from|import) (\w+)", code, re.MULTILINE))


@cache
def pyproject() -> dict[str, Any]:
    """Read pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def document(name: str) -> str:
    """Read a document of `docs`."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def rows(text: str, heading: str | None = None) -> list[list[str]]:
    """Return the cells of each table row under ``heading`` or in the whole text, without heads."""
    if heading is not None:
        after = re.split(rf"^#+ {re.escape(heading)}$", text, maxsplit=1, flags=re.MULTILINE)[1]
        text = re.split(r"^#+ ", after, maxsplit=1, flags=re.MULTILINE)[0]
    found: list[list[str]] = []
    lines = text.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        is_rule = line.startswith("|-")
        if line.startswith("|") and not is_rule and not following.startswith("|-"):
            found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
