"""methods: what a JSON-RPC method is here: a function of a node and the call's parameters."""

from collections.abc import Callable

from sandbox.solana.node import Node
from sandbox.solana.parameters import Parameters
from sandbox.solana.refusals import Json

Method = Callable[[Node, Parameters], Json]
RECENT_SLOTS = 150
