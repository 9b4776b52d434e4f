"""Turnkey's signer: keys that live in Turnkey's enclave, behind the same port as the keystore.

In        a message and paths; the exact requests, kept somewhere before they are sent.
Out       addresses and signatures (it is a `Signer`).
Holds     no key; addresses that it was told once.
Promises  a request's bytes are kept before they are sent and are the same after a timeout or a
          death, so one signing is one activity there; what comes back is believed only when its
          message is ours, byte for byte, and the signature is the expected signer's.
Why       the policies see a whole transaction, never a bare payload: so it is sent unsigned, once
          for each key, and comes back with that key's signature in its place.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from solders.message import from_bytes_versioned, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from chain.signer import KeyPath, Signer, Wallet
from chain.slip10 import HARDENED
from chain.trouble import Frozen, SignerRefused
from chain.turnkey.api import NotThere, TurnkeyApi
from chain.turnkey.shapes import (
    CREATE_ACCOUNTS,
    GET_ACCOUNT,
    SIGN_TRANSACTION,
    AccountAnswer,
    Activity,
    request_body,
)
from rooms.units import Address, UnixMs

ADDRESSES_KEPT_MAX: Final = 100_000


class Requests(Protocol):
    """Where requests are kept before they are sent."""

    async def keep(self, name: str, body: bytes, made_at: UnixMs, not_before: UnixMs) -> bytes:
        """Keep ``body`` under its name, and return what is kept there.

        That is ``body``, unless a request of ``not_before`` or later is kept already.
        """
        ...


class TurnkeySigner:
    """Sign with accounts of Turnkey wallets."""

    def __init__(self, api: TurnkeyApi, requests: Requests, clock: Callable[[], UnixMs]) -> None:
        self._api = api
        self._requests = requests
        self._clock = clock
        self._addresses: dict[KeyPath, Address] = {}

    async def address(self, path: KeyPath) -> Address:
        """Give the address of an account, which is made when it is not there yet.

        Raises:
            SignerBusy: when Turnkey has no answer now.
            SignerRefused: when it will not make the account.
        """
        known = self._addresses.get(path)
        if known is not None:
            return known
        wallet = self._wallet(path.wallet)
        text = _path_text(path)
        try:
            found = await self._api.query(
                GET_ACCOUNT, {"walletId": wallet, "path": text}, AccountAnswer
            )
            if found.account.path != text or found.account.wallet_id != wallet:
                raise Frozen("Turnkey gave another account than the one asked for")
            address = _address(found.account.address)
        except NotThere:
            address = await self._make(path, wallet, text)
        if len(self._addresses) >= ADDRESSES_KEPT_MAX:
            self._addresses.clear()
        self._addresses[path] = address
        return address

    async def sign(self, message: bytes, paths: Sequence[KeyPath]) -> tuple[bytes, ...]:
        """Give one signature over ``message`` for each path, in their order.

        Raises:
            SignerBusy: when Turnkey has not signed yet; ask again with the same message.
            SignerRefused: when a policy, a person or an error there says no.
            Frozen: when what came back is not what was asked for.
        """
        # One after the other: the rate allows no more, and the first refusal spares the rest.
        return tuple([await self._sign(message, path) for path in paths])

    async def _make(self, path: KeyPath, wallet: str, text: str) -> Address:
        parameters = {
            "walletId": wallet,
            "accounts": [
                {
                    "curve": "CURVE_ED25519",
                    "pathFormat": "PATH_FORMAT_BIP32",
                    "path": text,
                    "addressFormat": "ADDRESS_FORMAT_SOLANA",
                }
            ],
        }
        activity = await self._carry_out(f"account {path}", CREATE_ACCOUNTS, parameters)
        made = activity.result.create_wallet_accounts_result
        if made is None or len(made.addresses) != 1:
            raise Frozen("Turnkey made another number of accounts than asked for")
        return _address(made.addresses[0])

    async def _sign(self, message: bytes, path: KeyPath) -> bytes:
        address = await self.address(path)
        compiled = from_bytes_versioned(message)
        empty = [Signature.default()] * compiled.header.num_required_signatures
        unsigned = VersionedTransaction.populate(compiled, empty)
        parameters = {
            "signWith": address,
            "unsignedTransaction": bytes(unsigned).hex(),
            "type": "TRANSACTION_TYPE_SOLANA",
        }
        name = f"sign {hashlib.sha256(message).hexdigest()} {address}"
        activity = await self._carry_out(name, SIGN_TRANSACTION, parameters)
        signed = activity.result.sign_transaction_result
        if signed is None:
            raise Frozen("Turnkey completed a signing without a transaction")
        return _signature(signed.signed_transaction, message, address)

    async def _carry_out(self, name: str, kind: str, parameters: dict[str, Any]) -> Activity:
        now = self._clock()
        settings = self._api.settings
        fresh = request_body(kind, settings.organization, parameters, now)
        body = await self._requests.keep(name, fresh, now, UnixMs(now - settings.body_ms_max))
        return await self._api.carry_out(kind, body)

    def _wallet(self, wallet: Wallet) -> str:
        try:
            return self._api.settings.wallets[wallet]
        except KeyError:
            raise SignerRefused(
                f"no Turnkey wallet is set for {wallet.name.lower()}: see docs/custody.md"
            ) from None


class SplitSigner:
    """Sign with custody's own key where it pays network fees, and elsewhere with another signer."""

    def __init__(self, own: Signer, elsewhere: Signer) -> None:
        self._own = own
        self._elsewhere = elsewhere

    async def address(self, path: KeyPath) -> Address:
        """Give the address of a key, wherever that is."""
        return await self._home(path).address(path)

    async def sign(self, message: bytes, paths: Sequence[KeyPath]) -> tuple[bytes, ...]:
        """Give one signature for each path, in their order; the other signer is asked first."""
        elsewhere = [path for path in paths if path != KeyPath.fee_payer()]
        theirs = iter(await self._elsewhere.sign(message, elsewhere))
        own = iter(await self._own.sign(message, [p for p in paths if p == KeyPath.fee_payer()]))
        return tuple(next(own if path == KeyPath.fee_payer() else theirs) for path in paths)

    def _home(self, path: KeyPath) -> Signer:
        return self._own if path == KeyPath.fee_payer() else self._elsewhere


def _path_text(path: KeyPath) -> str:
    return "m/" + "/".join(f"{index - HARDENED}'" for index in path.indexes)


def _address(text: str) -> Address:
    try:
        key = Pubkey.from_string(text)
    except ValueError:
        raise Frozen("Turnkey gave an address that is none") from None
    if not key.is_on_curve() or str(key) != text:
        raise Frozen("Turnkey gave an address that nobody can sign for")
    return Address(text)


def _signature(signed: str, message: bytes, address: Address) -> bytes:
    """Take one signature out of a signed transaction, having checked everything about it."""
    try:
        transaction = VersionedTransaction.from_bytes(bytes.fromhex(signed))
    except ValueError:
        raise Frozen("Turnkey gave back no transaction") from None
    if to_bytes_versioned(transaction.message) != message:
        raise Frozen("Turnkey gave back another transaction than the one to sign")
    keys = [str(key) for key in transaction.message.account_keys]
    signature = transaction.signatures[keys.index(address)]
    if not signature.verify(Pubkey.from_string(address), message):
        raise Frozen(f"Turnkey gave back a signature that is not {address}'s")
    return bytes(signature)
