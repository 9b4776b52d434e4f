"""refusals: the errors a Solana node answers with, by their JSON-RPC codes and words.

Promises  code, message and data as a validator sends them, so that clients parse them.
"""

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

_WORDS = {
    "AccountNotFound": "Attempt to debit an account but found no record of a prior credit.",
    "AccountInUse": "Account in use",
    "AccountLoadedTwice": "Account loaded twice",
    "AddressLookupTableNotFound": "Transaction loads an address table account that doesn't exist",
    "AlreadyProcessed": "This transaction has already been processed",
    "BlockhashNotFound": "Blockhash not found",
    "InsufficientFundsForFee": "Insufficient funds for fee",
    "InvalidAccountForFee": "This account may not be used to pay transaction fees",
    "InvalidProgramForExecution": "This program may not be used for executing instructions",
    "MaxLoadedAccountsDataSizeExceeded": "Transaction exceeded max loaded accounts data size cap",
    "ProgramAccountNotFound": "Attempt to load a program that does not exist",
    "SanitizeFailure": "Transaction failed to sanitize accounts offsets correctly",
    "SignatureFailure": "Transaction did not pass signature verification",
}


class RpcRefusal(Exception):
    """Carry a JSON-RPC error to whoever asked."""

    def __init__(self, code: int, message: str, data: Json = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def body(self) -> dict[str, Json]:
        """Return the ``error`` member of the answer."""
        body: dict[str, Json] = {"code": self.code, "message": self.message}
        if self.data is not None:
            body["data"] = self.data
        return body


def invalid_params(message: str) -> RpcRefusal:
    """Say that a parameter cannot be used."""
    return RpcRefusal(-32602, message)


def words_of(error: object) -> str:
    """Say a transaction error as the runtime words it."""
    if isinstance(error, str):
        return _WORDS.get(error, error)
    if isinstance(error, dict):
        for kind, detail in error.items():
            if kind == "InsufficientFundsForRent" and isinstance(detail, dict):
                index = detail.get("account_index")
                return (
                    f"Transaction results in an account ({index}) with insufficient funds for rent"
                )
            if kind == "InstructionError" and isinstance(detail, list):
                return f"Error processing Instruction {detail[0]}: {_instruction_words(detail[1])}"
    return str(error)


def _instruction_words(error: object) -> str:
    if isinstance(error, dict) and isinstance(error.get("Custom"), int):
        return f"custom program error: {error['Custom']:#x}"
    if error == "ComputationalBudgetExceeded":
        return "Computational budget exceeded"
    return str(error)
