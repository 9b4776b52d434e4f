"""Trouble: the ways in which the chain's answer is not known.

Holds     one exception a cause; all are `NotKnown`, so that a caller can wait on all of them alike.
Promises  no message carries an address with a key in it: a provider is named, its URL never is.
Why       an answer that did not come is not an answer: nothing may be concluded from any of these.
"""

from rooms.units import Signature


class NotKnown(Exception):
    """Say that the chain could not be read: ask again later and conclude nothing."""


class Unreachable(NotKnown):
    """A provider did not answer in time, or not at all."""


class RateLimited(NotKnown):
    """A provider wants us to ask less; ``retry_after_ms`` is its own wish, where it has one."""

    def __init__(self, message: str, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class Garbled(NotKnown):
    """A provider answered what cannot be true: not JSON-RPC, not the shape asked for, too large."""


class RpcRefused(NotKnown):
    """A provider answered with an error of its own; ``code`` is JSON-RPC's, ``detail`` its data."""

    def __init__(self, provider: str, code: int, message: str, detail: str = "") -> None:
        super().__init__(
            f"{provider} answered error {code}: {message[:200]} {detail[:200]}".rstrip()
        )
        self.code = code
        self.message = message
        self.detail = detail


class Disagreement(NotKnown):
    """Providers say different things, or too few of them said anything."""


class UnknownVersion(Exception):
    """A transaction of a version that we cannot read: never skipped, its reader stops there."""

    def __init__(self, signature: Signature, version: str) -> None:
        super().__init__(f"transaction {signature} has version {version}, which we cannot read")
        self.signature = signature
        self.version = version


class Frozen(Exception):
    """A signer gave back something other than what was asked: nothing more may be signed."""


class SignerBusy(NotKnown):
    """A signer elsewhere has not signed yet: ask again later with the same request."""


class SignerRefused(Exception):
    """A signer elsewhere will not sign this: a policy, a person or an error there says no."""
