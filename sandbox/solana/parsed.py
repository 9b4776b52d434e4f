"""parsed: instructions in words, for the programs whose words everyone reads.

In        an instruction and the transaction's addresses.
Out       the ``jsonParsed`` form: system transfers and new accounts, memos; the rest by accounts.
"""

from collections.abc import Sequence

from solders.instruction import CompiledInstruction
from solders.pubkey import Pubkey

from sandbox.solana import base58
from sandbox.solana.history import MEMO_PROGRAMS
from sandbox.solana.refusals import Json
from sandbox.solana.runtime import SYSTEM_PROGRAM


def parsed_instruction(instruction: CompiledInstruction, keys: Sequence[Pubkey]) -> Json:
    """Write an instruction in words, or as its accounts and data where there are none."""
    program = keys[instruction.program_id_index]
    accounts = [str(keys[index]) for index in instruction.accounts]
    data = bytes(instruction.data)
    if program in MEMO_PROGRAMS:
        return {
            "program": "spl-memo",
            "programId": str(program),
            "parsed": data.decode(errors="replace"),
            "stackHeight": 1,
        }
    if program == SYSTEM_PROGRAM and (told := _system(accounts, data)):
        return {
            "program": "system",
            "programId": str(program),
            "parsed": told,
            "stackHeight": 1,
        }
    return {
        "programId": str(program),
        "accounts": list(accounts),
        "data": base58.encode(data),
        "stackHeight": 1,
    }


def _system(accounts: list[str], data: bytes) -> dict[str, Json] | None:
    def number(at: int, width: int = 8) -> int:
        return int.from_bytes(data[at : at + width], "little")

    match number(0, 4), len(data), accounts:
        case (2, 12, [source, destination, *_]):
            return _told("transfer", source=source, destination=destination, lamports=number(4))
        case (0, 52, [source, new, *_]):
            return _told(
                "createAccount",
                source=source,
                newAccount=new,
                lamports=number(4),
                space=number(12),
                owner=str(Pubkey(data[20:52])),
            )
        case (1, 36, [account, *_]):
            return _told("assign", account=account, owner=str(Pubkey(data[4:36])))
        case (8, 12, [account, *_]):
            return _told("allocate", account=account, space=number(4))
        case _:
            return None


def _told(kind: str, **info: Json) -> dict[str, Json]:
    return {"type": kind, "info": dict(info)}
