"""Reason: why an operator does what he does, as every command asks for it.

In        what was said after --reason.
Out       the same without the space around it.
Promises  nothing that is written down for good goes without a reason.
"""

import sys
from typing import Annotated

import typer


def stated(reason: str | None) -> str | None:
    """Take the space off a reason; end with one line when nothing is left."""
    if reason is None:
        return None
    reason = reason.strip()
    if not reason:
        sys.exit("say why: --reason")
    return reason


Reason = Annotated[str, typer.Option(help="Why; it is written down for good.", callback=stated)]
