"""Tokens: takes up the tokens that the operator allows, once their mints were looked at.

In        names and mints of the settings; the mints as two providers have them.
Out       rows that every process reads; a refusal to start when a mint has a trap, or a name would
          mean another mint than before.
Promises  a token that was ever allowed stays counted, whatever the settings say later: what people
          have of it can still go back to them.
"""

from collections.abc import Mapping

import structlog

from chain.providers import Providers
from chain.token_gates import mint_gate
from chain.tokens import Token, Trap
from rooms.refusal import CannotGoOn
from rooms.units import Address
from storage import tokens
from storage.connections import Connection, Connections
from storage.tokens import KeptToken

log = structlog.get_logger()


async def ensure_tokens(
    connections: Connections, providers: Providers, wanted: Mapping[str, Address]
) -> None:
    """Write down each token of the settings that is not there yet.

    Raises:
        CannotGoOn: when a mint may not be staked, or is not the one of this name.
        NotKnown: when the chain cannot be read now.
    """
    for name, mint in wanted.items():
        try:
            token = await mint_gate(providers, name, mint)
        except Trap as trap:
            raise CannotGoOn(f"ROOMS_TOKENS: {trap}") from None
        async with connections.acquire() as connection:
            await tokens.insert(
                connection, KeptToken(token.name, token.mint, token.decimals, token.program)
            )
            known = await read_tokens(connection)
        if known.get(name) != token:
            raise CannotGoOn(f"ROOMS_TOKENS: {name} or {mint} means another token here already")
        log.info("token", name=name, mint=mint, decimals=token.decimals)


async def read_tokens(connection: Connection) -> dict[str, Token]:
    """Return every token that was ever allowed, by name."""
    return {
        name: Token(kept.name, kept.mint, kept.decimals, kept.program)
        for name, kept in (await tokens.every(connection)).items()
    }
