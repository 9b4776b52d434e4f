-- What the organisation must still know after the server was killed.

CREATE TABLE IF NOT EXISTS wallets (
    wallet_id TEXT PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE,
    seed      BLOB NOT NULL
);

CREATE TABLE IF NOT EXISTS accounts (
    wallet_id TEXT NOT NULL REFERENCES wallets,
    path      TEXT NOT NULL,
    address   TEXT NOT NULL UNIQUE,
    PRIMARY KEY (wallet_id, path)
);

CREATE TABLE IF NOT EXISTS users (
    public_key TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL,
    root       INTEGER NOT NULL, -- in the quorum that policies do not bind
    expired    INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE IF NOT EXISTS policies (
    policy_id TEXT PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE,
    body      TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS activities (
    fingerprint TEXT PRIMARY KEY, -- of the request's bytes
    activity_id TEXT NOT NULL UNIQUE,
    body        TEXT NOT NULL
);
