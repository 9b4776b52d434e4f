"""Organization: wallets, accounts, users, policies and activities, as Turnkey keeps them.

Holds     one SQLite file.
Promises  the same request is the same activity; a wallet's keys grow from its seed, so a path has
          one address for ever; a change is on disk before it is answered.
"""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from solders.keypair import Keypair

Json = dict[str, Any]

SEED_BYTES: Final = 64
_SCHEMA: Final = Path(__file__).with_name("organization.sql")


class Organization:
    """Keep and find everything of one organisation."""

    def __init__(self, path: Path, organization_id: str, random: Callable[[int], bytes]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.id = organization_id
        self._random = random
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.executescript(_SCHEMA.read_text())
        path.chmod(0o600)

    def close(self) -> None:
        """Close the file; nothing is lost without it."""
        self._db.close()

    def new_id(self) -> str:
        """Draw an id in the form that Turnkey's have."""
        drawn = self._random(16).hex()
        return "-".join((drawn[:8], drawn[8:12], drawn[12:16], drawn[16:20], drawn[20:]))

    def add_wallet(self, name: str) -> str:
        """Make a wallet, and return its id; one that is there by this name stays as it is."""
        self._db.execute(
            "INSERT INTO wallets VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING",
            (self.new_id(), name, self._random(SEED_BYTES)),
        )
        return str(self._one("SELECT wallet_id FROM wallets WHERE name = ?", name))

    def add_account(self, wallet_id: str, path: str) -> str | None:
        """Make an account, and return its address; None when it is there already."""
        seed = self._one("SELECT seed FROM wallets WHERE wallet_id = ?", wallet_id)
        if seed is None:
            raise KeyError(wallet_id)
        address = str(Keypair.from_seed_and_derivation_path(seed, path).pubkey())
        done = self._db.execute(
            "INSERT INTO accounts VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (wallet_id, path, address),
        )
        return address if done.rowcount else None

    def account(self, *, wallet_id: str, path: str) -> str | None:
        """Find an account's address."""
        found = self._one(
            "SELECT address FROM accounts WHERE wallet_id = ? AND path = ?", wallet_id, path
        )
        return None if found is None else str(found)

    def key_of(self, address: str) -> tuple[str, str, Keypair] | None:
        """Find an account's wallet, path and key."""
        row = self._db.execute(
            "SELECT wallet_id, path, seed FROM accounts JOIN wallets USING (wallet_id)"
            " WHERE address = ?",
            (address,),
        ).fetchone()
        if row is None:
            return None
        return row[0], row[1], Keypair.from_seed_and_derivation_path(row[2], row[1])

    def add_user(self, public_key: str, user_id: str, *, root: bool = False) -> None:
        """Let a key stamp requests as a user."""
        self._db.execute(
            "INSERT INTO users (public_key, user_id, root) VALUES (?, ?, ?)"
            " ON CONFLICT (public_key) DO NOTHING",
            (public_key, user_id, root),
        )

    def expire(self, public_key: str) -> None:
        """Let a key be expired."""
        self._db.execute("UPDATE users SET expired = 1 WHERE public_key = ?", (public_key,))

    def user(self, public_key: str) -> tuple[str, bool, bool] | None:
        """Find whose a key is: the user, whether of the root quorum, whether it has expired."""
        row = self._db.execute(
            "SELECT user_id, root, expired FROM users WHERE public_key = ?", (public_key,)
        ).fetchone()
        return None if row is None else (row[0], bool(row[1]), bool(row[2]))

    def add_policy(self, intent: Json) -> str:
        """Install a policy, and return its id."""
        policy_id = self.new_id()
        self._db.execute(
            "INSERT INTO policies VALUES (?, ?, ?)",
            (policy_id, intent["policyName"], json.dumps({"policyId": policy_id, **intent})),
        )
        return policy_id

    def drop_policies(self) -> None:
        """Take all policies away."""
        self._db.execute("DELETE FROM policies")

    def policies(self) -> list[Json]:
        """Return all policies, by name."""
        rows = self._db.execute("SELECT body FROM policies ORDER BY name").fetchall()
        return [json.loads(body) for (body,) in rows]

    def activity(self, fingerprint: str) -> Json | None:
        """Find the activity of a request."""
        body = self._one("SELECT body FROM activities WHERE fingerprint = ?", fingerprint)
        return None if body is None else json.loads(body)

    def activity_by_id(self, activity_id: str) -> Json | None:
        """Find an activity."""
        body = self._one("SELECT body FROM activities WHERE activity_id = ?", activity_id)
        return None if body is None else json.loads(body)

    def save_activity(self, activity: Json) -> None:
        """Keep an activity as it is now."""
        self._db.execute(
            "INSERT INTO activities VALUES (?, ?, ?)"
            " ON CONFLICT (fingerprint) DO UPDATE SET body = excluded.body",
            (activity["fingerprint"], activity["id"], json.dumps(activity)),
        )

    def count(self, kind: str) -> int:
        """Count the activities of a kind."""
        rows = self._db.execute("SELECT body FROM activities").fetchall()
        return sum(json.loads(body)["type"] == kind for (body,) in rows)

    def _one(self, query: str, *arguments: object) -> Any:  # noqa: ANN401
        row = self._db.execute(query, arguments).fetchone()
        return None if row is None else row[0]
