"""Activities: does what a stamped request asks, when a policy allows it.

In        the request's bytes, whose key stamped them, the time.
Out       the activity as it is now.
Promises  the same bytes are the same activity, done once; any DENY wins, else any ALLOW, else no;
          the root quorum is bound by no policy; the signing key never leaves.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any, Final

from solders.keypair import Keypair
from solders.message import to_bytes_versioned
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from sandbox.turnkey import solana_facts
from sandbox.turnkey.faults import Fault
from sandbox.turnkey.organization import Json, Organization
from sandbox.turnkey.policy_language import PolicyError, holds
from sandbox.turnkey.refusals import bad_request, forbidden, not_found

OLD_MS: Final = 60 * 60_000
AHEAD_MS: Final = 5 * 60_000
KINDS: Final = {
    "/public/v1/submit/sign_transaction": "ACTIVITY_TYPE_SIGN_TRANSACTION_V2",
    "/public/v1/submit/create_wallet_accounts": "ACTIVITY_TYPE_CREATE_WALLET_ACCOUNTS",
    "/public/v1/submit/create_wallet": "ACTIVITY_TYPE_CREATE_WALLET",
    "/public/v1/submit/create_policies": "ACTIVITY_TYPE_CREATE_POLICIES",
}
CAMEL_RESULTS: Final = {
    "ACTIVITY_TYPE_SIGN_TRANSACTION_V2": "signTransactionResult",
    "ACTIVITY_TYPE_CREATE_WALLET_ACCOUNTS": "createWalletAccountsResult",
    "ACTIVITY_TYPE_CREATE_WALLET": "createWalletResult",
    "ACTIVITY_TYPE_CREATE_POLICIES": "createPoliciesResult",
}


class Activities:
    """Do activities of one organisation."""

    def __init__(self, organization: Organization, clock: Callable[[], int]) -> None:
        self._organization = organization
        self._clock = clock

    def submit(self, path: str, body: bytes, user: str, root: bool, fault: Fault | None) -> Json:  # noqa: FBT001
        """Do what a request asks, or find it done.

        Raises:
            Refusal: when it cannot be understood, or is not allowed.
        """
        kind = KINDS.get(path)
        if kind is None:
            raise not_found(path)
        request = _read(body)
        if request.get("type") != kind:
            raise bad_request(f"{path} takes {kind}")
        if request.get("organizationId") != self._organization.id:
            raise bad_request("organization mismatch", "ORGANIZATION_MISMATCH")
        self._check_time(request)
        fingerprint = "sha256:" + hashlib.sha256(body).hexdigest()
        known = self._organization.activity(fingerprint)
        if known is not None:
            return known
        parameters = request.get("parameters")
        if not isinstance(parameters, dict):
            raise bad_request("no parameters")
        activity: Json = {
            "id": self._organization.new_id(),
            "organizationId": self._organization.id,
            "type": kind,
            "fingerprint": fingerprint,
            "status": "ACTIVITY_STATUS_COMPLETED",
            "intent": {},
            "result": {},
        }
        facts = self._facts(kind, parameters, user)
        if not root:
            self._judge(facts)
        if fault is not None and fault.kind == "status":
            activity["status"] = fault.status
            if fault.status == "ACTIVITY_STATUS_FAILED":
                activity["failure"] = {"code": 13, "message": "the enclave failed"}
        else:
            done = self._do(kind, parameters, fault)
            activity["result"] = {CAMEL_RESULTS[kind]: done}
            if fault is not None and fault.kind == "pending":
                activity["looks"] = fault.looks
        self._organization.save_activity(activity)
        return activity

    def look(self, activity_id: str) -> Json:
        """Look at an activity; a pending one comes nearer to its end with each look."""
        found = self._organization.activity_by_id(activity_id)
        if found is None:
            raise not_found("activity")
        if found.get("looks", 0) > 0:
            found["looks"] -= 1
            self._organization.save_activity(found)
        return found

    def _check_time(self, request: Json) -> None:
        try:
            at = int(request["timestampMs"])
        except (KeyError, TypeError, ValueError):
            raise bad_request("timestampMs is a number in text") from None
        now = self._clock()
        if not now - OLD_MS <= at <= now + AHEAD_MS:
            raise bad_request("request timestamp is too old or ahead")

    def _facts(self, kind: str, parameters: Json, user: str) -> Json:
        facts: Json = {
            "activity": {"type": kind, "kind": kind.removeprefix("ACTIVITY_TYPE_")},
            "approvers": [{"id": user}],
        }
        if kind == "ACTIVITY_TYPE_CREATE_WALLET_ACCOUNTS":
            facts["wallet"] = {"id": parameters.get("walletId")}
        if kind == "ACTIVITY_TYPE_SIGN_TRANSACTION_V2":
            address = parameters.get("signWith")
            found = self._organization.key_of(str(address))
            if found is None:
                raise not_found("signing resource")
            wallet, path, _ = found
            facts["wallet"] = {"id": wallet}
            facts["wallet_account"] = {"address": address, "path": path}
            facts["solana"] = {"tx": _transaction(parameters)[1]}
        return facts

    def _judge(self, facts: Json) -> None:
        allowed = False
        for policy in self._organization.policies():
            deny = policy["effect"] == "EFFECT_DENY"
            try:
                meant = holds(policy.get("condition", ""), facts) and holds(
                    policy.get("consensus", ""), facts
                )
            except PolicyError:
                # A rule that cannot be applied allows nothing; it forbids nothing either, since it
                # speaks of something else.
                continue
            if meant and deny:
                raise forbidden()
            allowed = allowed or meant
        if not allowed:
            raise forbidden()

    def _do(self, kind: str, parameters: Json, fault: Fault | None) -> Json:
        match kind:
            case "ACTIVITY_TYPE_SIGN_TRANSACTION_V2":
                return self._sign(parameters, fault)
            case "ACTIVITY_TYPE_CREATE_WALLET_ACCOUNTS":
                return {"addresses": self._accounts(parameters)}
            case "ACTIVITY_TYPE_CREATE_WALLET":
                wallet = self._organization.add_wallet(str(parameters["walletName"]))
                return {"walletId": wallet, "addresses": []}
            case _:
                intents = parameters["policies"]
                return {"policyIds": [self._organization.add_policy(each) for each in intents]}

    def _accounts(self, parameters: Json) -> list[str]:
        made: list[str] = []
        for each in parameters["accounts"]:
            if (
                each["curve"] != "CURVE_ED25519"
                or each["pathFormat"] != "PATH_FORMAT_BIP32"
                or each["addressFormat"] != "ADDRESS_FORMAT_SOLANA"
            ):
                raise bad_request("a Solana account is Ed25519, BIP32")
            try:
                address = self._organization.add_account(parameters["walletId"], each["path"])
            except KeyError:
                raise not_found("wallet") from None
            if address is None:
                raise bad_request("wallet account with this path already exists")
            made.append(address)
        return made

    def _sign(self, parameters: Json, fault: Fault | None) -> Json:
        found = self._organization.key_of(parameters["signWith"])
        assert found is not None, "a request that reached here names an account"
        key = found[2]
        transaction, facts = _transaction(parameters)
        if fault is not None and fault.kind == "flip":
            transaction = _flipped(transaction, facts)
        signer = Keypair() if fault is not None and fault.kind == "stranger" else key
        keys = list(transaction.message.account_keys)
        if key.pubkey() not in keys[: transaction.message.header.num_required_signatures]:
            raise bad_request("the account is not a signer of it", "INVALID_TRANSACTION")
        signatures = list(transaction.signatures)
        signatures[keys.index(key.pubkey())] = signer.sign_message(
            to_bytes_versioned(transaction.message)
        )
        signed = VersionedTransaction.populate(transaction.message, signatures)
        return {"signedTransaction": bytes(signed).hex()}


def _read(body: bytes) -> Json:
    try:
        request = json.loads(body)
    except ValueError:
        raise bad_request("not JSON") from None
    if not isinstance(request, dict):
        raise bad_request("not an object")
    return request


def _transaction(parameters: Json) -> tuple[VersionedTransaction, Json]:
    if parameters.get("type") != "TRANSACTION_TYPE_SOLANA":
        raise bad_request("only Solana here", "INVALID_TRANSACTION")
    try:
        return solana_facts.read(bytes.fromhex(str(parameters["unsignedTransaction"])))
    except (KeyError, ValueError):
        raise bad_request("unable to parse transaction", "INVALID_TRANSACTION") from None


def _flipped(transaction: VersionedTransaction, facts: dict[str, Any]) -> VersionedTransaction:
    destination = Pubkey.from_string(facts["transfers"][-1]["to"])
    raw = bytes(transaction).replace(bytes(destination), bytes(Keypair().pubkey()), 1)
    return VersionedTransaction.from_bytes(raw)
