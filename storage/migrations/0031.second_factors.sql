-- What a person proves before lamports leave: a PIN, and an authenticator.
-- depends: 0030.withdrawals

CREATE TABLE second_factors (
    user_id bigint PRIMARY KEY REFERENCES users (id),
    pin_hash text NOT NULL,                     -- Argon2id, of digits sealed with the bot's own key
    authenticator text,                         -- names its secret, which only that key makes; null: none
    code_step bigint NOT NULL DEFAULT 0,        -- the half minute of the last code that counted
    failures integer NOT NULL DEFAULT 0,        -- wrong ones in a row
    locked_until bigint NOT NULL DEFAULT 0,
    changed_at bigint NOT NULL DEFAULT now_ms()
);

REVOKE SELECT ON second_factors FROM rooms_auditor;
GRANT SELECT (user_id, locked_until, changed_at) ON second_factors TO rooms_worker;
GRANT SELECT, INSERT, UPDATE ON second_factors TO rooms_bot;
GRANT UPDATE (payload) ON updates TO rooms_bot;  -- what was sealed in it is taken out once it is done
