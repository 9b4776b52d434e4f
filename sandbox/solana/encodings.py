"""encodings: transactions and messages as they come in: text into bytes into what was signed.

In        base58 or base64 text.
Out       a transaction that is well formed, and its exact bytes.
Promises  what a node would refuse to read is refused with the node's words.
"""

import base64
import binascii

from solders.transaction import SanitizeError, VersionedTransaction

from sandbox.solana import base58
from sandbox.solana.refusals import invalid_params

_V1_FIRST_BYTE = 129
_V1_BYTES_MAX = 4_096
_BYTES_MAX = 1_232
_SIGNATURE_BYTES = 64
_V1_SIGNATURES_MAX = 12
_TYPE = "solana_transaction::versioned::VersionedTransaction"


def base64_bytes(text: str) -> bytes:
    """Read base64 text."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as invalid:
        raise invalid_params(f"invalid base64 encoding: {invalid}") from invalid


def transaction_from(text: str, encoding: str) -> tuple[VersionedTransaction, bytes]:
    """Read a transaction from a call's text."""
    if encoding == "base64":
        raw = base64_bytes(text)
    elif encoding in ("base58", "binary"):
        try:
            raw = base58.decode(text[: 2 * _V1_BYTES_MAX])
        except ValueError as invalid:
            raise invalid_params(f"invalid base58 encoding: {invalid}") from invalid
    else:
        raise invalid_params(
            f"unsupported encoding: {encoding}. Supported encodings: base58, base64"
        )
    most = _V1_BYTES_MAX if raw[:1] == bytes([_V1_FIRST_BYTE]) else _BYTES_MAX
    if len(raw) > most:
        raise invalid_params(f"decoded {_TYPE} too large: {len(raw)} bytes (max: {most} bytes)")
    try:
        transaction = VersionedTransaction.from_bytes(raw)
    except ValueError as invalid:
        raise invalid_params(f"failed to deserialize {_TYPE}: {invalid}") from invalid
    if bytes(transaction) != raw:
        raise invalid_params(f"failed to deserialize {_TYPE}: trailing bytes")
    try:
        transaction.sanitize()
    except (SanitizeError, ValueError) as invalid:
        raise _not_sane() from invalid
    message = transaction.message
    if most == _V1_BYTES_MAX and message.header.num_required_signatures > _V1_SIGNATURES_MAX:
        raise _not_sane()
    return transaction, raw


def raw_version(raw: bytes) -> int | None:
    """Read a transaction's version from its bytes; None is legacy."""
    if raw[0] == _V1_FIRST_BYTE:
        return 1
    # Fewer than 128 signatures fit, so their count is one byte.
    first = raw[1 + raw[0] * _SIGNATURE_BYTES]
    return first & 0x7F if first & 0x80 else None


def _not_sane() -> Exception:
    return invalid_params(
        "invalid transaction: Transaction failed to sanitize accounts offsets correctly"
    )
