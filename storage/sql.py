"""SQL: the queries of a noun, each by its name, out of the .sql file beside its module.

In        storage/{noun}.sql, in which each query opens with ``-- name(arguments) -> result``.
Out       a mapping from name to text.
Promises  a name that is missing or stands twice fails when the program starts.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

_HEADER: Final = re.compile(r"^-- (?P<name>[a-z_]+)\(.*\) -> .+$", re.MULTILINE)


def queries(noun: str) -> Mapping[str, str]:
    """Read the queries of ``storage/{noun}.sql``."""
    text = Path(__file__).with_name(f"{noun}.sql").read_text(encoding="utf-8")
    headers = list(_HEADER.finditer(text))
    assert headers, f"{noun}.sql has queries"
    ends = [header.start() for header in headers[1:]] + [len(text)]
    found: dict[str, str] = {}
    for header, end in zip(headers, ends, strict=True):
        name = header["name"]
        assert name not in found, f"{noun}.sql names {name} twice"
        found[name] = text[header.end() : end].strip().removesuffix(";")
    return MappingProxyType(found)
