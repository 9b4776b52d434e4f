"""Airdrop: test funds for a wallet, asked of the Solana node of this machine.

In        an address.
Out       the signature of the transaction that brings the funds.
Promises  a node that is away or refuses is told as such, in one sentence.
"""

import httpx

from sandbox.telegram.records import Json
from sandbox.telegram.refusals import BotApiError

ANSWER_WITHIN_S = 10


class Airdrop:
    """Ask a Solana node for test funds."""

    def __init__(self, solana_url: str, lamports: int) -> None:
        self._solana_url = solana_url
        self._lamports = lamports

    async def request(self, address: str) -> Json:
        """Ask for the usual amount of test funds for an address."""
        call = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "requestAirdrop",
            "params": [address, self._lamports],
        }
        try:
            async with httpx.AsyncClient(timeout=ANSWER_WITHIN_S, trust_env=False) as client:
                answer = (await client.post(self._solana_url, json=call)).json()
        except (httpx.HTTPError, ValueError) as error:
            raise BotApiError(502, "The Solana node does not answer; try again soon.") from error
        if not isinstance(answer, dict) or "result" not in answer:
            reason = (
                (answer.get("error") or {}).get("message") if isinstance(answer, dict) else None
            )
            raise BotApiError(502, f"The Solana node refused: {reason or 'no reason given'}")
        return {"address": address, "lamports": self._lamports, "signature": answer["result"]}
