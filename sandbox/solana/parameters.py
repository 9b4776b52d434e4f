"""parameters: what a JSON-RPC call was given, read strictly.

In        the ``params`` of a call.
Out       addresses, numbers, texts and the config object.
Promises  what is missing or of the wrong kind is refused the way a node does.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from solders.pubkey import Pubkey
from solders.signature import Signature

from sandbox.solana.chain import Commitment
from sandbox.solana.json_forms import TransactionForm
from sandbox.solana.refusals import Json, invalid_params

U64_MAX = 2**64 - 1
_COMMITMENTS = {
    "processed": "processed",
    "confirmed": "confirmed",
    "finalized": "finalized",
    # Names that older clients still send.
    "recent": "processed",
    "single": "confirmed",
    "singleGossip": "confirmed",
    "root": "finalized",
    "max": "finalized",
}

_FORMS: Mapping[str, TransactionForm] = {
    "json": "json",
    "jsonParsed": "jsonParsed",
    "base64": "base64",
    "base58": "base58",
    "binary": "base58",
}


class Config:
    """Read the options of a call."""

    def __init__(self, options: Mapping[str, Json]) -> None:
        self._options = options

    def commitment(self, name: str = "commitment") -> Commitment:
        """Return the commitment asked for; none means finalized."""
        asked = self._options.get(name)
        if asked is None:
            return "finalized"
        known = _COMMITMENTS.get(asked) if isinstance(asked, str) else None
        if known is None:
            raise invalid_params(f"Invalid params: unknown commitment {asked!r}.")
        return cast(Commitment, known)

    def whole(self, name: str, *, most: int | None = None) -> int | None:
        """Return a whole number that is at least 0, or None when it was not given."""
        asked = self._options.get(name)
        if asked is None:
            return None
        if isinstance(asked, bool) or not isinstance(asked, int) or not 0 <= asked <= U64_MAX:
            raise invalid_params(f"Invalid params: {name} is a whole number.")
        if most is not None and asked > most:
            raise invalid_params(f"Invalid {name}; max {most}")
        return asked

    def flag(self, name: str) -> bool:
        """Return a yes or no; not given means no."""
        asked = self._options.get(name)
        if asked is not None and not isinstance(asked, bool):
            raise invalid_params(f"Invalid params: {name} is true or false.")
        return bool(asked)

    def text(self, name: str, default: str, allowed: Sequence[str] = ()) -> str:
        """Return a text, one of the allowed ones where there are such."""
        asked = self._options.get(name)
        if asked is None:
            return default
        if not isinstance(asked, str) or (allowed and asked not in allowed):
            raise invalid_params(f"Invalid params: {name} {asked!r} is not known.")
        return asked

    def signature(self, name: str) -> str | None:
        """Return a signature, or None when it was not given."""
        asked = self._options.get(name)
        return None if asked is None else signature_of(asked)

    def part(self, name: str) -> "Config":
        """Return a nested object, empty when it was not given."""
        asked = self._options.get(name)
        if asked is None:
            return Config({})
        if not isinstance(asked, dict):
            raise invalid_params(f"Invalid params: {name} is an object.")
        return Config(asked)

    def texts(self, name: str) -> list[str]:
        """Return a list of texts, empty when it was not given."""
        asked = self._options.get(name)
        if asked is None:
            return []
        if not isinstance(asked, list) or not all(isinstance(item, str) for item in asked):
            raise invalid_params(f"Invalid params: {name} is a list of texts.")
        return cast(list[str], asked)

    def __contains__(self, name: object) -> bool:
        """Say whether the option was given."""
        return self._options.get(cast(str, name)) is not None


class Parameters:
    """Read the positional parameters of a call."""

    def __init__(self, given: Json) -> None:
        if given is None:
            given = []
        if not isinstance(given, list):
            raise invalid_params("`params` should be an array")
        self._given = given

    def at(self, place: int) -> Json:
        """Return the parameter at this place."""
        if place >= len(self._given) or self._given[place] is None:
            raise invalid_params(f"`params` should have at least {place + 1} argument(s)")
        return self._given[place]

    def has(self, place: int) -> bool:
        """Say whether there is a parameter at this place."""
        return place < len(self._given) and self._given[place] is not None

    def text(self, place: int) -> str:
        """Return a text."""
        given = self.at(place)
        if not isinstance(given, str):
            raise invalid_params("Invalid params: invalid type, expected a string.")
        return given

    def whole(self, place: int) -> int:
        """Return a whole number that is at least 0."""
        given = self.at(place)
        if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= U64_MAX:
            raise invalid_params("Invalid params: invalid type, expected u64.")
        return given

    def address(self, place: int) -> Pubkey:
        """Return an address."""
        return address_of(self.at(place))

    def list(self, place: int, most: int) -> Sequence[Json]:
        """Return a list that is not longer than ``most``."""
        given = self.at(place)
        if not isinstance(given, list):
            raise invalid_params("Invalid params: invalid type, expected a sequence.")
        if len(given) > most:
            raise invalid_params(f"Too many inputs provided; max {most}")
        return given

    def config(self, place: int) -> Config:
        """Return the options, empty when there are none."""
        if not self.has(place):
            return Config({})
        given = self.at(place)
        if isinstance(given, str):
            # Old clients send an encoding in place of the object.
            return Config({"encoding": given})
        if not isinstance(given, dict):
            raise invalid_params("Invalid params: invalid type, expected an object.")
        return Config(given)


def address_of(given: Json) -> Pubkey:
    """Read an address."""
    try:
        return Pubkey.from_string(given if isinstance(given, str) else "")
    except ValueError as invalid:
        raise invalid_params(f"Invalid param: {invalid}") from invalid


def signature_of(given: Json) -> str:
    """Read a signature and write it in its one spelling."""
    try:
        return str(Signature.from_string(given if isinstance(given, str) else ""))
    except ValueError as invalid:
        raise invalid_params(f"Invalid param: {invalid}") from invalid


def form_of(config: Config) -> TransactionForm:
    """Return the form in which transactions are wanted."""
    return _FORMS[config.text("encoding", "json", tuple(_FORMS))]
