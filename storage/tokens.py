"""Tokens: what may be staked beside SOL, as custody found it on the chain.

Promises  insert only: a name never means another mint.
"""

from dataclasses import dataclass
from typing import Final

from rooms.asset import Asset
from rooms.units import Address
from storage.connections import Connection
from storage.sql import queries

SQL: Final = queries("tokens")


@dataclass(frozen=True, slots=True)
class KeptToken:
    """A token: its name here, its mint, and the program that keeps it."""

    name: str
    mint: Address
    decimals: int
    program: Address


async def every(connection: Connection) -> dict[str, KeptToken]:
    """Return all tokens that were ever allowed, by name."""
    rows = await connection.fetch(SQL["all"])
    return {row["name"]: KeptToken(**row) for row in rows}


async def assets(connection: Connection) -> dict[str, Asset]:
    """Return what is counted in each token, by name."""
    return {name: Asset(name, token.decimals) for name, token in (await every(connection)).items()}


async def insert(connection: Connection, token: KeptToken) -> None:
    """Write a token down; one of its name or mint that is there stays as it is."""
    await connection.execute(SQL["insert"], token.name, token.mint, token.decimals, token.program)
