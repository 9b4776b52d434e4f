"""control: the levers of the sandbox chain: time, forks, rent, funds and faults.

In        calls in process, or ``POST /{lever}`` with a JSON object of its arguments.
Out       what the lever says back, as JSON.
Promises  an order that makes no sense is refused in a sentence and changes nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from solders.pubkey import Pubkey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.solana.chain import Chain
from sandbox.solana.faults import FaultKind
from sandbox.solana.refusals import Json
from sandbox.solana.rpc import Rpc
from sandbox.solana.webhooks import Webhooks


class Control:
    """Hold the levers; provider 0 is the first RPC address, 1 the second, and so on."""

    def __init__(self, chain: Chain, providers: Sequence[Rpc]) -> None:
        self._chain = chain
        self._providers = providers
        self.webhooks = Webhooks(chain)
        self._levers: Mapping[str, Callable[..., Json]] = {
            "state": self.state,
            "airdrop": self.airdrop,
            "airdrop_token": self.airdrop_token,
            "fork": self._fork_json,
            "set_rent": self.set_rent,
            "pause": self.pause,
            "resume": self.resume,
            "advance": self.advance,
            "set_slot_ms": self.set_slot_ms,
            "set_lag": self.set_lag,
            "set_priority_price": self.set_priority_price,
            "fault": self.fault,
            "clear_faults": self.clear_faults,
            "cut_sockets": self.cut_sockets,
            "set_webhook": self.set_webhook,
            "clear_webhook": self.webhooks.clear,
        }
        self.app = Starlette(
            routes=[
                Route("/", self._look),
                Route("/{lever}", self._pull, methods=["POST"]),
            ]
        )

    @property
    def chain(self) -> Chain:
        """Return the chain itself, for tests that look behind the protocol."""
        return self._chain

    def state(self) -> Json:
        """Say where the chain is and what is wrong with its providers."""
        heads = self._chain.heads()
        return {
            "slot": heads.processed,
            "height": self._chain.blocks.height(heads.processed),
            "confirmed": heads.confirmed,
            "finalized": heads.finalized,
            "paused": self._chain.paused,
            "rent_minimum": self._chain.rent_minimum(0),
            "transactions": len(self._chain.history),
            "faucet": str(self._chain.faucet.pubkey()),
            "mint": str(self._chain.mint),
            "providers": [
                {
                    "lag": rpc.node.lag_slots,
                    "priority_price": rpc.node.priority_price,
                    "faults": [
                        {
                            "kind": fault.kind.value,
                            "methods": [*sorted(fault.methods)],
                            "times": fault.times,
                            "percent": fault.percent,
                        }
                        for fault in rpc.node.faults.standing()
                    ],
                }
                for rpc in self._providers
            ],
        }

    def airdrop(self, address: str, lamports: int) -> str:
        """Send lamports from the faucet and return the signature."""
        return self._chain.airdrop(Pubkey.from_string(address), lamports)

    def airdrop_token(self, owner: str, amount: int) -> str:
        """Mint the chain's own token to an owner and return the signature."""
        return self._chain.airdrop_token(Pubkey.from_string(owner), amount)

    def fork(self, from_slot: int | None = None, drop: Iterable[str] = ()) -> list[str]:
        """Let blocks from a slot on, or single transactions, vanish; return what is gone."""
        return self._chain.fork(from_slot, drop)

    def set_rent(self, lamports_per_byte: int) -> int:
        """Change the rent and return what an empty account must hold from now on."""
        self._chain.set_rent(lamports_per_byte)
        return self._chain.rent_minimum(0)

    def pause(self) -> None:
        """Make no blocks until resumed; what is sent meanwhile waits."""
        self._chain.pause()

    def resume(self) -> None:
        """Make blocks again."""
        self._chain.resume()

    def advance(self, blocks: int = 1) -> int:
        """Let so many blocks pass at once and return the slot."""
        return self._chain.advance(blocks)

    def set_slot_ms(self, slot_ms: int) -> None:
        """Change how long a slot lasts."""
        self._chain.set_slot_ms(slot_ms)

    def set_lag(self, provider: int, slots: int) -> None:
        """Put a provider so many slots behind."""
        self._rpc(provider).node.set_lag(slots)

    def set_priority_price(self, provider: int, micro_lamports: int) -> None:
        """Change the priority price a provider reports, in micro-lamports a compute unit."""
        if micro_lamports < 0:
            raise ValueError("micro_lamports is at least 0")
        self._rpc(provider).node.priority_price = micro_lamports

    def fault(
        self,
        provider: int,
        kind: str,
        methods: Iterable[str] = (),
        times: int | None = None,
        percent: int = 100,
    ) -> None:
        """Let something go wrong at a provider; `FaultKind` names what can."""
        self._rpc(provider).node.faults.add(FaultKind(kind), methods, times, percent)

    def clear_faults(self, provider: int | None = None) -> None:
        """Let everything go well again, at one provider or at all."""
        for number, rpc in enumerate(self._providers):
            if provider in (None, number):
                rpc.node.faults.clear()

    def cut_sockets(self, provider: int) -> int:
        """Close a provider's sockets and return how many there were."""
        return self._rpc(provider).pubsub.cut()

    def set_webhook(
        self,
        url: str,
        authorization: str,
        kind: str = "enhanced",
        addresses: Iterable[str] = (),
        retry_ms: int = 60_000,
    ) -> None:
        """Tell an address of what is confirmed from now on, as Helius does; of all, or of some."""
        self.webhooks.set(url, authorization, kind, [*addresses], retry_ms)

    def _rpc(self, provider: int) -> Rpc:
        if provider not in range(len(self._providers)):
            raise ValueError(f"provider is from 0 to {len(self._providers) - 1}")
        return self._providers[provider]

    def _fork_json(self, from_slot: int | None = None, drop: Iterable[str] = ()) -> Json:
        return [*self.fork(from_slot, drop)]

    async def _look(self, _request: Request) -> Response:
        return _json(self.state())

    async def _pull(self, request: Request) -> Response:
        lever = self._levers.get(request.path_params["lever"])
        if lever is None:
            return _json(
                {"error": f"there is no such lever; there are {sorted(self._levers)}"}, 404
            )
        try:
            given = msgspec.json.decode(await request.body() or b"{}", type=dict[str, Any])
            return _json({"result": lever(**given)})
        except (ValueError, TypeError) as nonsense:
            return _json({"error": str(nonsense)}, 400)


def _json(answer: Json, status: int = 200) -> Response:
    return Response(msgspec.json.encode(answer), status, None, "application/json")
