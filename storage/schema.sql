-- The whole schema as it is now. storage/migrations/ says how it got there; a test proves them equal.
-- Moments are milliseconds since 1970 (bigint), money is lamports (bigint), values are whole
-- numbers at their feed's scale (bigint).

CREATE FUNCTION now_ms() RETURNS bigint
    LANGUAGE sql STABLE
    AS $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint $$;

CREATE FUNCTION refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    BEGIN
        RAISE EXCEPTION '% is append only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
    END $$;

-- People and addresses ----------------------------------------------------------------------------

CREATE TABLE users (
    id bigint PRIMARY KEY,                      -- Telegram's numeric id
    chat_id bigint NOT NULL,
    name text NOT NULL,
    referrer bigint REFERENCES users (id),
    blocked boolean NOT NULL DEFAULT false,     -- the person blocked the bot
    created_at bigint NOT NULL DEFAULT now_ms(),
    CHECK (referrer <> id)
);

CREATE TABLE addresses (                        -- insert only, written by custody
    address text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('user', 'vault', 'treasury', 'fee_payer')),
    user_id bigint UNIQUE REFERENCES users (id),
    room_id bigint UNIQUE,
    created_at bigint NOT NULL DEFAULT now_ms(),
    CHECK ((kind = 'user') = (user_id IS NOT NULL)),
    CHECK ((kind = 'vault') = (room_id IS NOT NULL))
);
CREATE UNIQUE INDEX addresses_one_operator ON addresses (kind) WHERE kind IN ('treasury', 'fee_payer');
CREATE TRIGGER addresses_append_only BEFORE UPDATE OR DELETE ON addresses
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE tokens (                           -- what may be staked beside SOL; written by custody
    name text PRIMARY KEY CHECK (name ~ '^[A-Z0-9]{2,10}$' AND name <> 'SOL'),
    mint text NOT NULL UNIQUE,
    decimals smallint NOT NULL CHECK (decimals BETWEEN 0 AND 12),
    program text NOT NULL,
    made_at bigint NOT NULL DEFAULT now_ms()
);
CREATE TRIGGER tokens_append_only BEFORE UPDATE OR DELETE ON tokens
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE token_accounts (                   -- where an address of ours keeps a token
    address text PRIMARY KEY,
    asset text NOT NULL REFERENCES tokens (name),
    wallet text NOT NULL REFERENCES addresses (address),    -- whose key signs for it
    kind text NOT NULL CHECK (kind IN ('user', 'vault', 'treasury')),
    user_id bigint REFERENCES users (id),
    room_id bigint,
    made_at bigint NOT NULL DEFAULT now_ms(),
    UNIQUE (wallet, asset),
    UNIQUE (user_id, asset),
    UNIQUE (room_id, asset),
    CHECK ((kind = 'user') = (user_id IS NOT NULL)),
    CHECK ((kind = 'vault') = (room_id IS NOT NULL))
);
CREATE TRIGGER token_accounts_append_only BEFORE UPDATE OR DELETE ON token_accounts
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE VIEW places AS                           -- where an asset lies: wallets, and token accounts
    SELECT address, kind, user_id, room_id, 'SOL'::text AS asset, address AS wallet FROM addresses
    UNION ALL
    SELECT address, kind, user_id, room_id, asset, wallet FROM token_accounts;

-- of_asset(account, asset) -> the account's name; one that counts lamports has none beside it
CREATE FUNCTION of_asset(account text, asset text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$ SELECT CASE asset WHEN 'SOL' THEN account ELSE account || '@' || asset END $$;

-- decimals_of(asset) -> how many decimals its amounts have
CREATE FUNCTION decimals_of(asset text) RETURNS smallint
    LANGUAGE sql STABLE
    AS $$
        SELECT CASE asset WHEN 'SOL' THEN 9
                    ELSE (SELECT t.decimals FROM tokens t WHERE t.name = asset) END::smallint;
    $$;

-- Feeds -------------------------------------------------------------------------------------------

CREATE TABLE feeds (
    name text PRIMARY KEY,
    unit text NOT NULL,
    scale smallint NOT NULL CHECK (scale BETWEEN 0 AND 12),
    symbols jsonb NOT NULL,                     -- source name: the venue's own symbol
    volatility_bps integer NOT NULL CHECK (volatility_bps > 0),
    guards jsonb NOT NULL,
    standing boolean NOT NULL DEFAULT false,    -- wanted with no room on it too
    drafted_at bigint,                          -- when somebody last began a room on it
    price text,                                 -- of a market cap: the feed of its price
    supply text,                                -- and the feed of its supply
    liquidity text,                             -- the feed of what lies in its market
    meaning text NOT NULL DEFAULT '',           -- what a value of it is, printed in its rooms
    offered boolean NOT NULL DEFAULT true,      -- rooms are made on it
    made_with text[] NOT NULL DEFAULT '{}',     -- the feeds that it is made with
    expression text UNIQUE,                     -- of a derived feed: what it is, in its one form
    inputs jsonb NOT NULL DEFAULT '{}',         -- the feeds that it is made of, and their scales
    CONSTRAINT feeds_expression_check CHECK (
        (expression IS NULL AND name NOT LIKE 'expr:%' AND inputs = '{}')
        OR (name = 'expr:' || left(encode(sha256(convert_to(expression, 'UTF8')), 'hex'), 32)
            AND inputs <> '{}'))
);

CREATE FUNCTION refuse_other_expression() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    BEGIN
        IF (OLD.expression, OLD.inputs, OLD.scale) IS DISTINCT FROM
           (NEW.expression, NEW.inputs, NEW.scale) THEN
            RAISE EXCEPTION 'a feed is never made into another' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$;
CREATE TRIGGER feeds_stay_what_they_are BEFORE UPDATE ON feeds
    FOR EACH ROW EXECUTE FUNCTION refuse_other_expression();

CREATE TABLE feed_seconds (                     -- one row a feed a second
    feed text NOT NULL REFERENCES feeds (name),
    second_at bigint NOT NULL,
    low bigint,
    high bigint,
    last bigint,                                -- null: silent at its end
    changes integer NOT NULL,
    silence jsonb,
    log_position bigint NOT NULL,               -- offset of the last message in it
    memory jsonb NOT NULL,                      -- what a worker needs to go on from there
    PRIMARY KEY (feed, second_at)
);

-- Rooms -------------------------------------------------------------------------------------------

CREATE TABLE room_requests (                    -- what people ask for; worker makes it a room
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL UNIQUE,                   -- of the button or update that asked
    creator bigint NOT NULL REFERENCES users (id),
    feed text NOT NULL REFERENCES feeds (name),
    request jsonb NOT NULL,
    asked_at bigint NOT NULL DEFAULT now_ms(),
    done_at bigint,
    room_id bigint,
    refusal jsonb                               -- code and sentence
);
CREATE INDEX room_requests_due ON room_requests (id) WHERE done_at IS NULL;

CREATE TABLE rooms (
    id bigint PRIMARY KEY CHECK (id >= 0 AND id < 4611686018427387904),
    creator bigint NOT NULL REFERENCES users (id),
    feed text NOT NULL REFERENCES feeds (name),
    scale smallint NOT NULL,
    comparator smallint NOT NULL CHECK (comparator IN (1, -1)),
    move_bps integer CHECK (move_bps > 0),
    target bigint CHECK (target > 0),
    base bigint,                                -- the index price that fixed a move's target
    opened_at bigint NOT NULL,
    lock_at bigint NOT NULL,
    cut_at bigint NOT NULL,
    watch_at bigint NOT NULL,
    deadline_at bigint NOT NULL,
    target_wait_ms integer NOT NULL,
    gap_ms_max integer NOT NULL,
    protocol_fee_bps integer NOT NULL,
    host_fee_bps integer NOT NULL,
    stake_lamports_min bigint NOT NULL,
    stake_lamports_max bigint NOT NULL,
    seats integer,
    volatility_bps integer NOT NULL,
    guards jsonb NOT NULL,
    state text NOT NULL DEFAULT 'DRAFT'
        CHECK (state IN ('DRAFT', 'OPEN', 'LOCKED', 'DECIDED', 'SETTLED', 'PAID')),
    outcome text CHECK (outcome IN ('YES', 'NO', 'VOID')),
    void_reason text,
    watched_at bigint,                          -- when its watch was told; the log's time
    decided_at bigint,                          -- the log's time, not the clock's
    sealed_at bigint,
    sealed_slot bigint,
    sealed_yes bigint,
    sealed_no bigint,
    settled_at bigint,
    paid_at bigint,
    event_count integer NOT NULL DEFAULT 0,     -- the sequence number of the room's last event
    held_ms integer NOT NULL DEFAULT 0 CHECK (held_ms >= 0),   -- 0: the first touch decides
    is_live boolean NOT NULL DEFAULT false,     -- bets stay open while it is watched
    pool_lamports_max bigint CHECK (pool_lamports_max > 0),    -- on a thin feed
    base_evidence jsonb,                        -- the index price that fixed a move's target
    noted_at bigint,                            -- when the decision was written; our clock
    asset text NOT NULL DEFAULT 'SOL',          -- what is staked in it, in its smallest unit
    asset_decimals smallint NOT NULL DEFAULT 9,
    CHECK (move_bps IS NOT NULL OR target IS NOT NULL),
    CHECK (
        CASE WHEN is_live THEN watch_at < deadline_at AND lock_at < deadline_at
             ELSE lock_at < cut_at AND cut_at < watch_at AND watch_at < deadline_at END),
    CHECK ((outcome IS NULL) = (decided_at IS NULL)),
    CHECK (state NOT IN ('DECIDED', 'SETTLED', 'PAID') OR outcome IS NOT NULL),
    CHECK (state NOT IN ('SETTLED', 'PAID') OR sealed_at IS NOT NULL),
    CHECK (outcome IS DISTINCT FROM 'VOID' OR void_reason IS NOT NULL)
);
CREATE INDEX rooms_open_by_feed ON rooms (feed) WHERE outcome IS NULL AND state <> 'DRAFT';
CREATE INDEX rooms_open_by_deadline ON rooms (deadline_at) WHERE outcome IS NULL AND state <> 'DRAFT';
CREATE INDEX rooms_by_feed ON rooms (feed, deadline_at);
CREATE INDEX rooms_unsealed ON rooms (cut_at) WHERE sealed_at IS NULL AND state <> 'DRAFT';
CREATE INDEX rooms_unsettled ON rooms (sealed_at) WHERE state = 'DECIDED';
CREATE INDEX rooms_unpaid ON rooms (settled_at) WHERE state = 'SETTLED';
CREATE INDEX rooms_draft ON rooms (opened_at) WHERE state = 'DRAFT';

CREATE VIEW open_rooms AS                       -- the table that prices are joined with
    SELECT id, feed, comparator, move_bps, target, opened_at, lock_at, watch_at, deadline_at,
           target_wait_ms, gap_ms_max,
           state <> 'OPEN' AS locked,           -- its lock was told
           held_ms
    FROM rooms
    WHERE outcome IS NULL AND state <> 'DRAFT';

CREATE VIEW wanted AS                           -- the feeds that somebody needs now, but derived ones
    WITH RECURSIVE needed AS (
        SELECT f.name, f.made_with
        FROM feeds f
        WHERE f.standing
           OR f.drafted_at > now_ms() - 86400000
           OR EXISTS (SELECT FROM rooms r
                      WHERE r.feed = f.name AND r.deadline_at > now_ms() - 86400000)
        UNION
        SELECT f.name, f.made_with          -- and those that they are made with
        FROM needed n
        JOIN feeds f ON f.name = ANY (n.made_with)
    )
    SELECT f.name, f.scale, f.symbols, f.guards, f.price, f.supply
    FROM feeds f
    WHERE f.name IN (SELECT needed.name FROM needed) AND f.expression IS NULL;

CREATE VIEW wanted_expressions AS               -- the derived feeds that somebody needs now
    SELECT f.name
    FROM feeds f
    WHERE f.expression IS NOT NULL
      AND (f.standing
           OR f.drafted_at > now_ms() - 86400000
           OR EXISTS (SELECT FROM rooms r
                      WHERE r.feed = f.name AND r.deadline_at > now_ms() - 86400000));

CREATE TABLE crossings (                        -- the evidence of each YES and each early VOID
    room_id bigint PRIMARY KEY REFERENCES rooms (id),
    at bigint NOT NULL,
    source_at bigint NOT NULL,
    value bigint NOT NULL,
    evidence jsonb NOT NULL
);

CREATE TABLE coverage (                         -- how much of a decided room's watch had a price
    room_id bigint PRIMARY KEY REFERENCES rooms (id),
    since_at bigint NOT NULL,
    until_at bigint NOT NULL,
    missing_ms bigint NOT NULL CHECK (missing_ms >= 0),
    longest_gap_ms bigint NOT NULL CHECK (longest_gap_ms BETWEEN 0 AND missing_ms)
);

-- Bets --------------------------------------------------------------------------------------------

CREATE TABLE bet_requests (                     -- what people ask for; worker takes or refuses it
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL UNIQUE,
    user_id bigint NOT NULL REFERENCES users (id),
    room_id bigint NOT NULL REFERENCES rooms (id),
    side text NOT NULL CHECK (side IN ('YES', 'NO')),
    lamports bigint NOT NULL CHECK (lamports > 0),
    asked_at bigint NOT NULL DEFAULT now_ms(),
    done_at bigint,
    stake_id bigint,
    refusal jsonb
);
CREATE INDEX bet_requests_due ON bet_requests (id) WHERE done_at IS NULL;

CREATE TABLE bets (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    room_id bigint NOT NULL REFERENCES rooms (id),
    user_id bigint NOT NULL REFERENCES users (id),
    side text NOT NULL CHECK (side IN ('YES', 'NO')),
    UNIQUE (room_id, user_id)
);
CREATE INDEX bets_by_user ON bets (user_id, id);

CREATE TABLE stakes (
    id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    bet_id bigint NOT NULL REFERENCES bets (id),
    room_id bigint NOT NULL REFERENCES rooms (id),
    user_id bigint NOT NULL REFERENCES users (id),
    side text NOT NULL CHECK (side IN ('YES', 'NO')),
    lamports bigint NOT NULL CHECK (lamports > 0),
    weight_bps integer NOT NULL CHECK (weight_bps > 0),
    accepted_at bigint NOT NULL,
    state text NOT NULL DEFAULT 'HELD'
        CHECK (state IN ('HELD', 'LANDED', 'MISSED', 'RELEASED')),
    landed_at bigint,                           -- block time of the landing, in milliseconds
    landed_slot bigint,
    signature text                              -- of the transaction in which it landed
);
CREATE INDEX stakes_by_room ON stakes (room_id);
CREATE INDEX stakes_by_user ON stakes (user_id, room_id);

CREATE TABLE settlements (
    room_id bigint PRIMARY KEY REFERENCES rooms (id),
    outcome text NOT NULL CHECK (outcome IN ('YES', 'NO', 'VOID')),
    void_reason text,
    pool bigint NOT NULL,
    house bigint NOT NULL,
    shares jsonb NOT NULL,                      -- [[user, lamports], …]
    evidence_hash text NOT NULL,                -- sha256 over crossing, stakes and division
    at bigint NOT NULL
);

CREATE TABLE withdrawals (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL UNIQUE,
    user_id bigint NOT NULL REFERENCES users (id),
    to_address text NOT NULL,
    lamports bigint NOT NULL CHECK (lamports > 0),
    asked_at bigint NOT NULL DEFAULT now_ms(),
    due_at bigint,                              -- when it may leave; null until judged
    state text NOT NULL DEFAULT 'ASKED'
        CHECK (state IN ('ASKED', 'REFUSED', 'WAITING', 'LEAVING', 'PAID', 'RELEASED')),
    refusal jsonb,
    left_at bigint,                             -- when it was handed to custody
    cancel_asked_at bigint,                     -- its owner wants it back
    asset text NOT NULL DEFAULT 'SOL'
);
CREATE INDEX withdrawals_due ON withdrawals (id) WHERE state IN ('ASKED', 'WAITING');
CREATE INDEX withdrawals_by_user ON withdrawals (user_id);
CREATE INDEX withdrawals_by_address ON withdrawals (to_address, asked_at);
CREATE INDEX withdrawals_by_leaving ON withdrawals (left_at) WHERE left_at IS NOT NULL;

CREATE TABLE withdrawal_limits (                -- settings, taken over by `rooms migrate`
    name text PRIMARY KEY,
    value bigint NOT NULL CHECK (value >= 0),
    changed_at bigint NOT NULL DEFAULT now_ms()
);

CREATE TABLE address_book (                     -- where people send to, and since when
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users (id),
    address text NOT NULL,
    added_at bigint NOT NULL DEFAULT now_ms(),
    removed_at bigint
);
CREATE UNIQUE INDEX address_book_one ON address_book (user_id, address) WHERE removed_at IS NULL;

CREATE TABLE second_factors (
    user_id bigint PRIMARY KEY REFERENCES users (id),
    pin_hash text NOT NULL,                     -- Argon2id, of digits sealed with the bot's own key
    authenticator text,                         -- names its secret, which only that key makes; null: none
    code_step bigint NOT NULL DEFAULT 0,        -- the half minute of the last code that counted
    failures integer NOT NULL DEFAULT 0,        -- wrong ones in a row
    locked_until bigint NOT NULL DEFAULT 0,
    changed_at bigint NOT NULL DEFAULT now_ms()
);

-- What a person asks for is held against the person's and the address's limits when it is allowed,
-- what leaves against the limits of the place when it leaves; one at a time, whoever writes.
CREATE FUNCTION withdrawals_within_limits() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    DECLARE broken text;
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtext('rooms.withdrawals'));
        IF NEW.state = 'LEAVING' THEN
            NEW.left_at := now_ms();
        END IF;
        SELECT s.name INTO broken
        FROM (VALUES ('person_lamports_hour_max', 'WAITING', 3600000),
                     ('person_lamports_day_max', 'WAITING', 86400000),
                     ('address_lamports_hour_max', 'WAITING', 3600000),
                     ('address_lamports_day_max', 'WAITING', 86400000),
                     ('all_lamports_hour_max', 'LEAVING', 3600000),
                     ('all_lamports_day_max', 'LEAVING', 86400000)) AS s (name, state, span_ms)
        LEFT JOIN withdrawal_limits l
            ON l.name = CASE NEW.asset WHEN 'SOL' THEN s.name ELSE NEW.asset || ':' || s.name END
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(w.lamports), 0) AS lamports
            FROM withdrawals w
            WHERE w.id <> NEW.id AND w.asset = NEW.asset
              AND w.state IN ('WAITING', 'LEAVING', 'PAID')
              AND CASE split_part(s.name, '_', 1)
                      WHEN 'person' THEN w.user_id = NEW.user_id
                                         AND w.asked_at > now_ms() - s.span_ms
                      WHEN 'address' THEN w.to_address = NEW.to_address
                                          AND w.asked_at > now_ms() - s.span_ms
                      ELSE w.left_at > now_ms() - s.span_ms
                  END
        ) so_far
        WHERE s.state = NEW.state
          AND so_far.lamports + NEW.lamports > coalesce(l.value, 0)
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'withdrawal % is above %', NEW.id, broken
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END $$;
CREATE TRIGGER withdrawals_within_limits BEFORE UPDATE OF state ON withdrawals
    FOR EACH ROW
    WHEN (NEW.state IN ('WAITING', 'LEAVING') AND NEW.state IS DISTINCT FROM OLD.state)
    EXECUTE FUNCTION withdrawals_within_limits();

-- Ledger ------------------------------------------------------------------------------------------

CREATE TABLE accounts (
    name text PRIMARY KEY,
    is_where boolean GENERATED ALWAYS AS (name LIKE 'chain:%') STORED,
    balance bigint NOT NULL DEFAULT 0 CHECK (balance >= 0),
    version bigint NOT NULL DEFAULT 0,
    asset text GENERATED ALWAYS AS (            -- of a token: its name stands behind the account's
        CASE WHEN strpos(name, '@') = 0 THEN 'SOL' ELSE split_part(name, '@', 2) END) STORED
);

CREATE TABLE entries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL UNIQUE,                   -- never expires
    digest text NOT NULL,                       -- of the postings: the same key, other postings: refused
    at bigint NOT NULL DEFAULT now_ms()
);

CREATE TABLE postings (
    entry_id bigint NOT NULL REFERENCES entries (id),
    account text NOT NULL REFERENCES accounts (name),
    lamports bigint NOT NULL CHECK (lamports <> 0),
    balance bigint NOT NULL CHECK (balance >= 0),   -- after it
    version bigint NOT NULL,
    PRIMARY KEY (entry_id, account),
    UNIQUE (account, version)
);

CREATE TRIGGER entries_append_only BEFORE UPDATE OR DELETE ON entries
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER postings_append_only BEFORE UPDATE OR DELETE ON postings
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE FUNCTION entry_balances() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    DECLARE difference bigint;
    BEGIN
        SELECT coalesce(max(abs(of_one.difference)), 0) INTO difference
        FROM (SELECT sum(CASE WHEN a.is_where THEN p.lamports ELSE -p.lamports END) AS difference
              FROM postings p JOIN accounts a ON a.name = p.account
              WHERE p.entry_id = NEW.id
              GROUP BY a.asset) of_one;
        IF difference <> 0 OR NOT EXISTS (SELECT FROM postings WHERE entry_id = NEW.id) THEN
            RAISE EXCEPTION 'entry % does not balance: where - whose = %', NEW.key, difference
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$;

CREATE CONSTRAINT TRIGGER entry_balances AFTER INSERT ON entries
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION entry_balances();

-- post_entries([{key, digest, postings: [[account, lamports], …]}, …]) -> keys that are new
-- The one way into the ledger. Accounts are made and locked in the order of their names, so that
-- two calls never wait for each other in a circle; a key that is there already writes nothing.
CREATE FUNCTION post_entries(wanted jsonb) RETURNS SETOF text
    LANGUAGE plpgsql
    AS $$
    BEGIN
        INSERT INTO accounts (name)
        SELECT DISTINCT p ->> 0
        FROM jsonb_array_elements(wanted) w, jsonb_array_elements(w -> 'postings') p
        ORDER BY 1
        ON CONFLICT DO NOTHING;

        PERFORM FROM accounts
        WHERE name IN (
            SELECT p ->> 0 FROM jsonb_array_elements(wanted) w, jsonb_array_elements(w -> 'postings') p)
        ORDER BY name FOR UPDATE;

        RETURN QUERY
        WITH asked AS (
            SELECT DISTINCT ON (key) w ->> 'key' AS key, w ->> 'digest' AS digest,
                   w -> 'postings' AS legs, ordinal
            FROM jsonb_array_elements(wanted) WITH ORDINALITY AS t (w, ordinal)
            ORDER BY key, ordinal
        ), fresh AS (
            INSERT INTO entries (key, digest)
            SELECT key, digest FROM asked ORDER BY ordinal
            ON CONFLICT (key) DO NOTHING
            RETURNING id, key
        ), legs AS (
            SELECT f.id, f.key, a.ordinal, p ->> 0 AS account, (p ->> 1)::bigint AS lamports
            FROM fresh f JOIN asked a USING (key), jsonb_array_elements(a.legs) p
        ), running AS (
            SELECT l.id, l.account, l.lamports,
                   c.balance + sum(l.lamports) OVER mine AS balance,
                   c.version + row_number() OVER mine AS version
            FROM legs l JOIN accounts c ON c.name = l.account
            WINDOW mine AS (PARTITION BY l.account ORDER BY l.ordinal)
        ), posted AS (
            INSERT INTO postings (entry_id, account, lamports, balance, version)
            SELECT id, account, lamports, balance, version FROM running
        ), moved AS (
            UPDATE accounts c
            SET balance = c.balance + t.lamports, version = c.version + t.count
            FROM (SELECT account, sum(lamports) AS lamports, count(*) AS count
                  FROM legs GROUP BY account) t
            WHERE c.name = t.account
        )
        SELECT key FROM fresh ORDER BY id;

        -- After the insert, which has waited for whoever was writing the same key.
        IF EXISTS (
            SELECT FROM jsonb_array_elements(wanted) w
            JOIN entries e ON e.key = w ->> 'key' AND e.digest <> w ->> 'digest'
        ) THEN
            RAISE EXCEPTION 'an entry of this key exists with other postings: %', (
                SELECT string_agg(e.key, ', ') FROM jsonb_array_elements(wanted) w
                JOIN entries e ON e.key = w ->> 'key' AND e.digest <> w ->> 'digest')
                USING ERRCODE = 'unique_violation';
        END IF;
    END $$;

-- Transfers ---------------------------------------------------------------------------------------

CREATE TABLE transfers (                        -- lamports that must move on chain
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL UNIQUE,                   -- stake:7, payout:{room}:{user}, refund:7, shares:{room}, withdrawal:3,
                                                -- return:{address}:{version}, earning:{user}:{version}
    kind text NOT NULL
        CHECK (kind IN ('stake', 'payout', 'refund', 'shares', 'withdrawal', 'return', 'earning')),
    room_id bigint REFERENCES rooms (id),
    user_id bigint REFERENCES users (id),       -- whose money it is; null for shares and returns
    subject_id bigint,                          -- the stake or the withdrawal
    from_address text NOT NULL,
    to_address text NOT NULL,
    lamports bigint NOT NULL CHECK (lamports > 0),
    sign_by bigint,                             -- after this moment no attempt is signed anew
    due_at bigint NOT NULL,                     -- the nearest is signed first
    state text NOT NULL DEFAULT 'PLANNED'
        CHECK (state IN ('PLANNED', 'ATTEMPTED', 'LANDED', 'RELEASED')),
    planned_at bigint NOT NULL DEFAULT now_ms(),
    ended_at bigint,
    not_before bigint NOT NULL DEFAULT 0,       -- after a refusal it is signed anew only from here
    refused_count integer NOT NULL DEFAULT 0,   -- attempts of it that the chain or a simulation refused
    alone boolean NOT NULL DEFAULT false,       -- its batch was refused: it is signed by itself
    asset text NOT NULL DEFAULT 'SOL'           -- of a token: from, and to but of a withdrawal, are accounts for it
);
CREATE INDEX transfers_planned ON transfers (due_at) WHERE state = 'PLANNED';
CREATE INDEX transfers_by_user ON transfers (user_id, room_id);
CREATE INDEX transfers_moving ON transfers (room_id) WHERE state IN ('PLANNED', 'ATTEMPTED');
-- At most one on its way: two could take more than the floor, or more than was earned.
CREATE UNIQUE INDEX transfers_one_return ON transfers (from_address)
    WHERE kind = 'return' AND state IN ('PLANNED', 'ATTEMPTED');
CREATE UNIQUE INDEX transfers_one_earning ON transfers (user_id)
    WHERE kind = 'earning' AND state IN ('PLANNED', 'ATTEMPTED');

CREATE TABLE attempts (                         -- one signing
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    signature text NOT NULL UNIQUE,
    raw bytea NOT NULL,                         -- committed before the first send
    last_valid_height bigint NOT NULL,
    context_slot bigint NOT NULL,               -- of its blockhash: it lands after this slot or never
    fee_payer text NOT NULL,
    memo text NOT NULL,
    signed_at bigint NOT NULL DEFAULT now_ms(),
    sent_at bigint,                             -- noted before the first send
    state text NOT NULL DEFAULT 'SIGNED'
        CHECK (state IN ('SIGNED', 'LANDED', 'REFUSED', 'LAPSED', 'CLOSED')),
    slot bigint,
    block_at bigint,
    fee_lamports bigint,
    error text,
    ended_at bigint,
    epoch bigint NOT NULL DEFAULT 0             -- of the custody that signed it
);
CREATE INDEX attempts_live ON attempts (id) WHERE state = 'SIGNED';

CREATE TABLE attempt_transfers (
    attempt_id bigint NOT NULL REFERENCES attempts (id),
    transfer_id bigint NOT NULL REFERENCES transfers (id),
    live boolean NOT NULL DEFAULT true,
    PRIMARY KEY (attempt_id, transfer_id)
);
CREATE UNIQUE INDEX attempt_transfers_one_live ON attempt_transfers (transfer_id) WHERE live;

CREATE TABLE attempt_floors (                   -- rent minimums that the attempt brings along
    attempt_id bigint NOT NULL REFERENCES attempts (id),
    address text NOT NULL,
    lamports bigint NOT NULL CHECK (lamports > 0),
    PRIMARY KEY (attempt_id, address)
);

CREATE TABLE deposits (                         -- lamports that came in from outside
    signature text NOT NULL,
    address text NOT NULL,                      -- a place of ours
    lamports bigint NOT NULL,
    slot bigint NOT NULL,
    owner text NOT NULL,                        -- the account it was posted to
    seen_at bigint NOT NULL DEFAULT now_ms(),
    other_lamports bigint NOT NULL DEFAULT 0,   -- came along by no transfer: stray
    times integer NOT NULL DEFAULT 1,           -- how often a fork brought it
    final_at bigint,                            -- until then a fork can take it back
    gone_at bigint,                             -- the finalized chain has not got it
    undone_at bigint,
    asset text NOT NULL DEFAULT 'SOL',
    PRIMARY KEY (signature, address),
    CHECK (lamports >= 0 AND other_lamports >= 0 AND lamports + other_lamports > 0)
);
CREATE INDEX deposits_not_final ON deposits (owner) WHERE final_at IS NULL AND undone_at IS NULL;

CREATE TABLE signing_requests (                 -- what a signer elsewhere is asked, before it is
    name text PRIMARY KEY,                      -- what is signed, and by which key
    body bytea NOT NULL,                        -- the exact bytes that are sent, now and again
    made_at bigint NOT NULL
);

CREATE INDEX signing_requests_made ON signing_requests (made_at);

CREATE TABLE cursors (                          -- how far each reader has come
    name text PRIMARY KEY,                      -- deposits:{address}, notices, …
    position text NOT NULL,
    stopped_reason text,
    moved_at bigint NOT NULL DEFAULT now_ms()
);

CREATE TABLE restores (                         -- while one is open nothing is signed
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reason text NOT NULL CHECK (reason <> ''),
    begun_at bigint NOT NULL DEFAULT now_ms(),
    read_at bigint,                             -- the chain's whole history has been read
    done_at bigint
);
CREATE UNIQUE INDEX restores_one_open ON restores ((true)) WHERE done_at IS NULL;

CREATE TABLE forgotten (                        -- signed by us, final on chain, unknown to this database
    signature text PRIMARY KEY,
    slot bigint NOT NULL,
    block_at bigint NOT NULL,
    memo text NOT NULL,
    found_at bigint NOT NULL DEFAULT now_ms(),
    placed_at bigint,
    waits_for text                              -- why it could not be placed yet
);
CREATE INDEX forgotten_waiting ON forgotten (slot) WHERE placed_at IS NULL;

CREATE TABLE lease_epochs (                     -- a number a holder, so that an old one is known
    lease text PRIMARY KEY,
    epoch bigint NOT NULL
);

-- begin_epoch(lease) -> the new holder's number
-- Waits for whoever is just writing a signing down; after it nobody else can.
CREATE FUNCTION begin_epoch(wanted text) RETURNS bigint
    LANGUAGE sql
    AS $$
        INSERT INTO lease_epochs AS e (lease, epoch) VALUES (wanted, 1)
        ON CONFLICT (lease) DO UPDATE SET epoch = e.epoch + 1
        RETURNING epoch;
    $$;

CREATE FUNCTION attempts_fenced() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    DECLARE newest bigint;
    BEGIN
        SELECT e.epoch INTO newest FROM lease_epochs e WHERE e.lease = 'custody' FOR SHARE;
        IF NEW.epoch <> coalesce(newest, 0) THEN
            RAISE EXCEPTION 'the custody of epoch % signs no more: this is epoch %',
                NEW.epoch, newest USING ERRCODE = 'RL001';
        END IF;
        IF NEW.raw <> '' AND EXISTS (SELECT FROM restores WHERE done_at IS NULL) THEN
            RAISE EXCEPTION 'nothing is signed while a restore is open' USING ERRCODE = 'RL002';
        END IF;
        RETURN NEW;
    END $$;
CREATE TRIGGER attempts_fenced BEFORE INSERT ON attempts
    FOR EACH ROW EXECUTE FUNCTION attempts_fenced();

-- post_legs([[key, account, lamports], …]) -> keys that are new
-- Puts legs together to entries, in the order of each key's first leg, and posts them.
CREATE FUNCTION post_legs(wanted jsonb) RETURNS SETOF text
    LANGUAGE sql
    AS $$
        WITH legs AS (
            SELECT w ->> 0 AS key, w ->> 1 AS account, sum((w ->> 2)::bigint)::bigint AS lamports,
                   min(min(ordinal)) OVER (PARTITION BY w ->> 0) AS first
            FROM jsonb_array_elements(wanted) WITH ORDINALITY AS t (w, ordinal)
            GROUP BY w ->> 0, w ->> 1
            HAVING sum((w ->> 2)::bigint) <> 0
        ), made AS (
            SELECT key, first,
                   jsonb_agg(jsonb_build_array(account, lamports) ORDER BY account COLLATE "C")
                   AS postings,
                   -- As storage.ledger.digest writes it.
                   encode(sha256(convert_to('[' || string_agg(
                       format('["%s",%s]', account, lamports), ',' ORDER BY account COLLATE "C")
                       || ']', 'UTF8')), 'hex') AS digest
            FROM legs GROUP BY key, first
        )
        SELECT post_entries(jsonb_agg(
            jsonb_build_object('key', key, 'digest', digest, 'postings', postings) ORDER BY first))
        FROM made HAVING count(*) > 0;
    $$;

-- post_receipts(attempts) -> keys of the entries that are new
-- The one way in which a fate becomes money. An attempt that is in a finalized block paid its fee;
-- one without an error laid its floors and moved its transfers, each as it was planned.
CREATE FUNCTION post_receipts(ended bigint[]) RETURNS SETOF text
    LANGUAGE plpgsql
    AS $$
    DECLARE wrong text;
    BEGIN
        SELECT 'attempt ' || a.signature INTO wrong
        FROM unnest(ended) AS e (id) LEFT JOIN attempts a ON a.id = e.id
        WHERE a.id IS NULL OR a.state NOT IN ('LANDED', 'REFUSED')
           OR a.slot IS NULL OR a.block_at IS NULL OR a.fee_lamports IS NULL
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION '% has no receipt', wrong USING ERRCODE = 'check_violation';
        END IF;

        SELECT t.key INTO wrong
        FROM attempts a
        JOIN attempt_transfers l ON l.attempt_id = a.id
        JOIN transfers t ON t.id = l.transfer_id
        LEFT JOIN stakes s ON t.kind = 'stake' AND s.id = t.subject_id
        LEFT JOIN withdrawals w ON t.kind = 'withdrawal' AND w.id = t.subject_id
        LEFT JOIN rooms r ON r.id = t.room_id
        WHERE a.id = ANY (ended) AND a.state = 'LANDED'
          AND (t.state <> 'LANDED'
               OR (t.kind = 'stake' AND s.state IS DISTINCT FROM
                   CASE WHEN a.block_at <= r.cut_at THEN 'LANDED' ELSE 'MISSED' END)
               OR (t.kind = 'withdrawal' AND w.state IS DISTINCT FROM 'PAID'))
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION '% is not what its attempt became', wrong
                USING ERRCODE = 'check_violation';
        END IF;

        RETURN QUERY
        WITH attempt AS (
            SELECT * FROM attempts a WHERE a.id = ANY (ended)
        ), moved AS (
            SELECT t.*, a.block_at
            FROM attempt a
            JOIN attempt_transfers l ON l.attempt_id = a.id
            JOIN transfers t ON t.id = l.transfer_id
            WHERE a.state = 'LANDED'
        ), legs AS (
            SELECT 1 AS stage, a.id, 'fee:' || a.signature AS key, leg.account, leg.lamports
            FROM attempt a
            CROSS JOIN LATERAL (VALUES
                ('chain:' || a.fee_payer, -a.fee_lamports),
                ('house', -a.fee_lamports)) AS leg (account, lamports)
            UNION ALL
            SELECT 2, a.id, 'floor:' || a.signature || ':' || f.address, leg.account, leg.lamports
            FROM attempt a
            JOIN attempt_floors f ON f.attempt_id = a.id AND a.state = 'LANDED'
            CROSS JOIN LATERAL (VALUES
                ('chain:' || a.fee_payer, -f.lamports), ('chain:' || f.address, f.lamports),
                ('house', -f.lamports), ('floor:' || f.address, f.lamports)
            ) AS leg (account, lamports)
            UNION ALL
            SELECT 3, m.id, m.key, of_asset(leg.account, m.asset), leg.lamports
            FROM moved m
            LEFT JOIN rooms r ON r.id = m.room_id
            LEFT JOIN settlements d ON m.kind = 'shares' AND d.room_id = m.room_id
            CROSS JOIN LATERAL (
                SELECT 'chain:' || m.from_address, -m.lamports
                UNION ALL
                SELECT 'chain:' || m.to_address, m.lamports WHERE m.kind <> 'withdrawal'
                UNION ALL
                SELECT 'held:' || m.user_id, -m.lamports WHERE m.kind IN ('stake', 'withdrawal')
                UNION ALL
                SELECT CASE WHEN m.block_at <= r.cut_at THEN 'pool:' ELSE 'due:' END || m.room_id,
                       m.lamports
                WHERE m.kind = 'stake'
                UNION ALL
                SELECT 'due:' || m.room_id, -m.lamports
                WHERE m.kind IN ('payout', 'refund', 'shares')
                UNION ALL
                SELECT 'available:' || m.user_id, m.lamports WHERE m.kind IN ('payout', 'refund')
                UNION ALL
                SELECT 'house', d.house WHERE m.kind = 'shares'
                UNION ALL
                SELECT 'earned:' || (s ->> 0), (s ->> 1)::bigint
                FROM jsonb_array_elements(d.shares) s
                WHERE m.kind = 'shares'
                UNION ALL
                SELECT 'floor:' || m.from_address, -m.lamports WHERE m.kind = 'return'
                UNION ALL
                SELECT 'house', m.lamports WHERE m.kind = 'return'
                UNION ALL
                SELECT 'earned:' || m.user_id, -m.lamports WHERE m.kind = 'earning'
                UNION ALL
                SELECT 'available:' || m.user_id, m.lamports WHERE m.kind = 'earning'
            ) AS leg (account, lamports)
        )
        SELECT post_legs(jsonb_agg(jsonb_build_array(key, account, lamports) ORDER BY stage, id))
        FROM legs HAVING count(*) > 0;
    END $$;

-- post_releases(transfers) -> keys of the entries that are new
-- Gives back what was held for a stake or a withdrawal that never moved and never will.
CREATE FUNCTION post_releases(released bigint[]) RETURNS SETOF text
    LANGUAGE plpgsql
    AS $$
    DECLARE wrong text;
    BEGIN
        SELECT coalesce(t.key, 'what is no transfer') INTO wrong
        FROM unnest(released) AS e (id) LEFT JOIN transfers t ON t.id = e.id
        LEFT JOIN stakes s ON t.kind = 'stake' AND s.id = t.subject_id
        LEFT JOIN withdrawals w ON t.kind = 'withdrawal' AND w.id = t.subject_id
        WHERE t.id IS NULL OR t.state <> 'RELEASED' OR t.kind NOT IN ('stake', 'withdrawal')
           OR (t.kind = 'stake' AND s.state IS DISTINCT FROM 'RELEASED')
           OR (t.kind = 'withdrawal' AND w.state IS DISTINCT FROM 'RELEASED')
           OR NOT EXISTS (SELECT FROM entries WHERE key = 'hold:' || t.key)
           OR EXISTS (SELECT FROM entries WHERE key = t.key)
           OR EXISTS (SELECT FROM attempt_transfers l JOIN attempts a ON a.id = l.attempt_id
                      WHERE l.transfer_id = t.id AND a.state IN ('SIGNED', 'LANDED'))
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION '% is not to be released', wrong USING ERRCODE = 'check_violation';
        END IF;
        RETURN QUERY
        SELECT post_legs(jsonb_agg(
            jsonb_build_array('release:' || t.key, leg.account, leg.lamports) ORDER BY t.id))
        FROM transfers t
        CROSS JOIN LATERAL (VALUES
            (of_asset('held:' || t.user_id, t.asset), -t.lamports),
            (of_asset('available:' || t.user_id, t.asset), t.lamports)) AS leg (account, lamports)
        WHERE t.id = ANY (released)
        HAVING count(*) > 0;
    END $$;

-- deposit_legs(deposit, sign) -> the legs of its entries, or of what undoes them
CREATE FUNCTION deposit_legs(d deposits, prefix text, sign integer) RETURNS jsonb
    LANGUAGE sql
    AS $$
        SELECT jsonb_agg(jsonb_build_array(prefix || n.key || leg.tail, leg.account,
                                           sign * leg.lamports))
        FROM (VALUES ('deposit:' || d.signature || ':' || d.address
                      || CASE WHEN d.times > 1 THEN ':' || d.times ELSE '' END)) AS n (key)
        CROSS JOIN LATERAL (VALUES
            ('', of_asset('chain:' || d.address, d.asset), d.lamports), ('', d.owner, d.lamports),
            (':other', of_asset('chain:' || d.address, d.asset), d.other_lamports),
            (':other', of_asset('stray:' || d.address, d.asset), d.other_lamports)
        ) AS leg (tail, account, lamports);
    $$;

-- undo_deposit(signature, address) -> whether it is undone
-- The exact negative, once. When the person has staked it already, it waits: gone and not undone.
CREATE FUNCTION undo_deposit(of_signature text, of_address text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
    DECLARE kept deposits;
    BEGIN
        SELECT * INTO kept FROM deposits
        WHERE signature = of_signature AND address = of_address FOR UPDATE;
        IF NOT FOUND OR kept.final_at IS NOT NULL THEN
            RAISE EXCEPTION 'nothing of % is to be undone', of_signature
                USING ERRCODE = 'check_violation';
        END IF;
        IF kept.undone_at IS NOT NULL THEN
            RETURN true;
        END IF;
        PERFORM FROM accounts
        WHERE name IN (kept.owner, of_asset('chain:' || kept.address, kept.asset),
                       of_asset('stray:' || kept.address, kept.asset))
        ORDER BY name FOR UPDATE;
        IF EXISTS (
            SELECT FROM (
                SELECT kept.owner AS name, kept.lamports AS lamports
                UNION ALL SELECT of_asset('stray:' || kept.address, kept.asset), kept.other_lamports
                UNION ALL SELECT of_asset('chain:' || kept.address, kept.asset),
                                 kept.lamports + kept.other_lamports
            ) needed
            GROUP BY name
            HAVING sum(lamports) > coalesce((SELECT balance FROM accounts a
                                             WHERE a.name = needed.name), 0)
        ) THEN
            UPDATE deposits SET gone_at = coalesce(gone_at, now_ms())
            WHERE signature = of_signature AND address = of_address;
            RETURN false;
        END IF;
        PERFORM post_legs(deposit_legs(kept, 'undo:', -1));
        UPDATE deposits SET gone_at = coalesce(gone_at, now_ms()), undone_at = now_ms()
        WHERE signature = of_signature AND address = of_address;
        RETURN true;
    END $$;

-- post_deposit(signature, address, lamports, other lamports, slot, final, enough) -> what it is now
-- 'posted', 'final' (posted before, and now for good), 'known', or 'waits' for an undo.
-- Whose it is follows from whose address it is; less than `enough` is nobody's.
CREATE FUNCTION post_deposit(
    of_signature text, of_address text, transferred bigint, other bigint, in_slot bigint,
    is_final boolean, enough bigint
) RETURNS text
    LANGUAGE plpgsql
    AS $$
    DECLARE
        kept deposits;
        account text;
        counted_in text;
    BEGIN
        SELECT of_asset(CASE
            WHEN a.kind IN ('treasury', 'fee_payer') THEN 'house'
            WHEN a.kind = 'user' AND transferred >= enough THEN 'available:' || a.user_id
            ELSE 'stray:' || a.address
        END, a.asset), a.asset INTO account, counted_in
        FROM places a WHERE a.address = of_address;
        IF account IS NULL THEN
            RAISE EXCEPTION '% is no address of ours', of_address USING ERRCODE = 'check_violation';
        END IF;
        IF EXISTS (SELECT FROM attempts WHERE signature = of_signature) THEN
            RAISE EXCEPTION '% is ours and no deposit', of_signature
                USING ERRCODE = 'check_violation';
        END IF;

        INSERT INTO deposits (signature, address, lamports, other_lamports, slot, owner, final_at,
                              asset)
        VALUES (of_signature, of_address, transferred, other, in_slot, account,
                CASE WHEN is_final THEN now_ms() END, counted_in)
        ON CONFLICT (signature, address) DO NOTHING
        RETURNING * INTO kept;
        IF FOUND THEN
            PERFORM post_legs(deposit_legs(kept, '', 1));
            RETURN 'posted';
        END IF;

        SELECT * INTO kept FROM deposits
        WHERE signature = of_signature AND address = of_address FOR UPDATE;
        IF kept.final_at IS NOT NULL THEN
            RETURN 'known';
        END IF;
        IF kept.undone_at IS NULL
           AND (kept.lamports, kept.other_lamports) = (transferred, other) THEN
            UPDATE deposits
            SET slot = in_slot, gone_at = NULL, final_at = CASE WHEN is_final THEN now_ms() END
            WHERE signature = of_signature AND address = of_address;
            RETURN CASE WHEN is_final THEN 'final' ELSE 'known' END;
        END IF;
        -- Another block brought it again, perhaps with other lamports.
        IF NOT undo_deposit(of_signature, of_address) THEN
            RETURN 'waits';
        END IF;
        UPDATE deposits
        SET times = times + 1, lamports = transferred, other_lamports = other, slot = in_slot,
            owner = account, gone_at = NULL, undone_at = NULL,
            final_at = CASE WHEN is_final THEN now_ms() END
        WHERE signature = of_signature AND address = of_address
        RETURNING * INTO kept;
        PERFORM post_legs(deposit_legs(kept, '', 1));
        RETURN 'posted';
    END $$;

-- begin_restore(reason, who) -> whether none was open
-- Closes everything, and has the chain's whole history read again.
CREATE FUNCTION begin_restore(why text, by_whom text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
    BEGIN
        INSERT INTO restores (reason) VALUES (why) ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
        INSERT INTO acts (kind, subject, reason, who) VALUES ('restore', 'all', why, by_whom);
        INSERT INTO flags (name, open, reason) VALUES ('all', false, why)
        ON CONFLICT (name) DO UPDATE SET open = false, reason = why, changed_at = now_ms();
        RETURN true;
    END $$;

-- must_be_forgotten(signature) -> nothing
CREATE FUNCTION must_be_forgotten(of_signature text) RETURNS void
    LANGUAGE plpgsql
    AS $$
    BEGIN
        IF NOT EXISTS (SELECT FROM restores WHERE done_at IS NULL)
           OR NOT EXISTS (SELECT FROM forgotten
                          WHERE signature = of_signature AND placed_at IS NULL) THEN
            RAISE EXCEPTION '% was not forgotten', of_signature USING ERRCODE = 'check_violation';
        END IF;
    END $$;

-- restore_room(signature, room, vault, asset) -> nothing
-- Of a room that is forgotten its rule is lost: no stake in it is in time, and each goes back.
CREATE FUNCTION restore_room(of_signature text, room bigint, vault text, counted_in text)
    RETURNS void
    LANGUAGE plpgsql
    AS $$
    BEGIN
        PERFORM must_be_forgotten(of_signature);
        INSERT INTO rooms (
            id, creator, feed, scale, comparator, move_bps, opened_at, lock_at, cut_at, watch_at,
            deadline_at, target_wait_ms, gap_ms_max, protocol_fee_bps, host_fee_bps,
            stake_lamports_min, stake_lamports_max, volatility_bps, guards, state, outcome,
            void_reason, decided_at, asset, asset_decimals)
        SELECT room, u.id, f.name, f.scale, 1, 1, 0, 1, 2, 3, 4, 1, 1, 0, 0, 1, 1, 1, '{}',
               'DECIDED', 'VOID', 'forgotten', 4, counted_in, decimals_of(counted_in)
        FROM (SELECT min(id) AS id FROM users) u, (SELECT * FROM feeds ORDER BY name LIMIT 1) f
        ON CONFLICT (id) DO NOTHING;
        INSERT INTO addresses (address, kind, room_id) VALUES (vault, 'vault', room)
        ON CONFLICT DO NOTHING;
    END $$;

-- restore_stake(signature, stake, from, vault, side, lamports) -> nothing
CREATE FUNCTION restore_stake(
    of_signature text, stake bigint, source text, vault text, of_side text, amount bigint
) RETURNS void
    LANGUAGE plpgsql
    AS $$
    DECLARE
        person bigint;
        room rooms;
        bet bigint;
    BEGIN
        PERFORM must_be_forgotten(of_signature);
        SELECT r.* INTO STRICT room
        FROM rooms r JOIN places a ON a.room_id = r.id AND a.asset = r.asset
        WHERE a.address = vault FOR UPDATE OF r;
        SELECT user_id INTO STRICT person FROM places
        WHERE address = source AND kind = 'user' AND asset = room.asset;
        IF room.sealed_at IS NOT NULL AND room.void_reason IS DISTINCT FROM 'forgotten' THEN
            RAISE EXCEPTION 'room % is sealed', room.id USING ERRCODE = 'check_violation';
        END IF;
        IF room.move_bps IS NULL THEN
            RAISE EXCEPTION 'room % weighs its stakes, and no weight is on chain', room.id
                USING ERRCODE = 'check_violation';
        END IF;
        INSERT INTO bets (room_id, user_id, side) VALUES (room.id, person, of_side)
        ON CONFLICT (room_id, user_id) DO NOTHING;
        SELECT id INTO STRICT bet FROM bets
        WHERE room_id = room.id AND user_id = person AND side = of_side;
        INSERT INTO stakes (id, bet_id, room_id, user_id, side, lamports, weight_bps, accepted_at)
        VALUES (stake, bet, room.id, person, of_side, amount, 10000, now_ms());
        PERFORM setval('stakes_id_seq', greatest(stake, (SELECT last_value FROM stakes_id_seq)));
        PERFORM post_legs(jsonb_build_array(
            jsonb_build_array('hold:stake:' || stake,
                              of_asset('available:' || person, room.asset), -amount),
            jsonb_build_array('hold:stake:' || stake,
                              of_asset('held:' || person, room.asset), amount)));
        PERFORM plan_stakes(ARRAY[stake]);
    END $$;

-- restore_withdrawal(signature, withdrawal, from, to, lamports) -> nothing
CREATE FUNCTION restore_withdrawal(
    of_signature text, withdrawal bigint, source text, destination text, amount bigint
) RETURNS void
    LANGUAGE plpgsql
    AS $$
    DECLARE
        person bigint;
        counted_in text;
    BEGIN
        PERFORM must_be_forgotten(of_signature);
        SELECT user_id, asset INTO STRICT person, counted_in
        FROM places WHERE address = source AND kind = 'user';
        INSERT INTO withdrawals (id, key, user_id, to_address, lamports, state, due_at, asset)
        OVERRIDING SYSTEM VALUE
        VALUES (withdrawal, 'restored:' || of_signature, person, destination, amount, 'LEAVING',
                now_ms(), counted_in);
        PERFORM setval('withdrawals_id_seq',
                       greatest(withdrawal, (SELECT last_value FROM withdrawals_id_seq)));
        PERFORM post_legs(jsonb_build_array(
            jsonb_build_array('hold:withdrawal:' || withdrawal,
                              of_asset('available:' || person, counted_in), -amount),
            jsonb_build_array('hold:withdrawal:' || withdrawal,
                              of_asset('held:' || person, counted_in), amount)));
        PERFORM plan_withdrawals(ARRAY[withdrawal]);
    END $$;

-- restore_outcome(signature, room, outcome) -> nothing
-- What was told on chain stands, whatever this database would decide now.
CREATE FUNCTION restore_outcome(of_signature text, room bigint, told text) RETURNS void
    LANGUAGE plpgsql
    AS $$
    BEGIN
        PERFORM must_be_forgotten(of_signature);
        UPDATE rooms
        SET state = 'DECIDED', outcome = told, decided_at = coalesce(decided_at, now_ms()),
            void_reason = CASE WHEN told = 'VOID' THEN coalesce(void_reason, 'forgotten') END
        WHERE id = room AND state IN ('OPEN', 'LOCKED', 'DECIDED')
          AND outcome IS DISTINCT FROM told;
    END $$;

-- Flow --------------------------------------------------------------------------------------------

CREATE TABLE outbox (                           -- what must be told, written with its fact
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    key text NOT NULL,
    payload jsonb NOT NULL,
    number bigint UNIQUE,                       -- public, gapless, given by the relay; events only
    created_at bigint NOT NULL DEFAULT now_ms(),
    sent_at bigint
);
CREATE INDEX outbox_unsent ON outbox (id) WHERE sent_at IS NULL;
CREATE INDEX outbox_events ON outbox (number) WHERE number IS NOT NULL;
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE sent_at IS NOT NULL AND topic <> 'events';

CREATE TABLE set_aside (                        -- messages that can never work, with the reason
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin text NOT NULL,                       -- topic/partition/offset, or the table and row
    payload text NOT NULL,
    reason text NOT NULL,
    at bigint NOT NULL DEFAULT now_ms(),
    UNIQUE (origin)
);

CREATE TABLE flags (                            -- read inside the money transaction
    name text PRIMARY KEY CHECK (name IN ('bets', 'rooms', 'withdrawals', 'signing', 'all')),
    open boolean NOT NULL,
    changed_at bigint NOT NULL DEFAULT now_ms(),
    reason text NOT NULL
);

-- Bot ---------------------------------------------------------------------------------------------

CREATE TABLE updates (                          -- stored before they are acknowledged
    update_id bigint PRIMARY KEY,
    person_id bigint NOT NULL,                  -- whose it is; one person's are handled in order
    payload jsonb NOT NULL,
    received_at bigint NOT NULL DEFAULT now_ms(),
    done_at bigint,
    replies jsonb,                              -- what to answer; null once it is sent
    attempts integer NOT NULL DEFAULT 0,
    error text
);
CREATE INDEX updates_due ON updates (update_id) WHERE done_at IS NULL;
CREATE INDEX updates_due_by_person ON updates (person_id, update_id) WHERE done_at IS NULL;
CREATE INDEX updates_unanswered ON updates (update_id) WHERE replies IS NOT NULL;

CREATE TABLE conversations (                    -- where a person is in a dialogue
    user_id bigint PRIMARY KEY REFERENCES users (id),
    state jsonb NOT NULL,
    changed_at bigint NOT NULL DEFAULT now_ms()
);

CREATE TABLE buttons (                          -- what a pressed button means; used once
    token text PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users (id),
    action jsonb NOT NULL,
    expires_at bigint NOT NULL,
    used_at bigint
);

CREATE TABLE notices (                          -- what people must be told
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL UNIQUE,                   -- event number and person
    user_id bigint NOT NULL REFERENCES users (id),
    event jsonb NOT NULL,
    about_money boolean NOT NULL,               -- told first
    created_at bigint NOT NULL DEFAULT now_ms(),
    told_at bigint,
    attempts integer NOT NULL DEFAULT 0,
    error text
);
CREATE INDEX notices_due ON notices (about_money DESC, id) WHERE told_at IS NULL AND error IS NULL;
CREATE INDEX notices_due_by_user ON notices (user_id, id) WHERE told_at IS NULL AND error IS NULL;

-- Audit -------------------------------------------------------------------------------------------

-- flag_is_open(flag) -> whether it and the one for all are open
-- Whoever reads holds a shared lock until the transaction ends, so that a pause can wait for those
-- who read "open". What cannot be read is closed, and the transaction goes on.
CREATE FUNCTION flag_is_open(flag text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(7266310, hashtext(w.name))
        FROM (VALUES ('all'), (flag)) AS w (name);
        RETURN (SELECT count(*) = (CASE flag WHEN 'all' THEN 1 ELSE 2 END)
                FROM flags f WHERE f.name IN (flag, 'all') AND f.open);
    EXCEPTION
        WHEN insufficient_privilege OR undefined_table OR undefined_column THEN RETURN false;
    END $$;

CREATE TABLE acts (                             -- what was done to the installation
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text UNIQUE,                            -- of a breach: it pauses once
    kind text NOT NULL
        CHECK (kind IN ('pause', 'resume', 'migrate', 'breach', 'push', 'restore', 'limit',
                        'token')),
    subject text NOT NULL,                      -- the flag, the migration, the rule, the limit
    reason text NOT NULL CHECK (reason <> ''),
    who text NOT NULL,
    role text NOT NULL DEFAULT session_user,
    at bigint NOT NULL DEFAULT now_ms(),
    CHECK ((kind = 'breach') = (key IS NOT NULL))
);

-- A changed limit is an act, whoever changed it and how.
CREATE FUNCTION limit_is_an_act() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    BEGIN
        INSERT INTO acts (kind, subject, reason, who)
        VALUES ('limit', NEW.name, OLD.value || ' is now ' || NEW.value,
                coalesce(nullif(current_setting('rooms.who', true), ''), session_user));
        RETURN NULL;
    END $$;
CREATE TRIGGER limit_is_an_act AFTER UPDATE ON withdrawal_limits
    FOR EACH ROW WHEN (OLD.value <> NEW.value) EXECUTE FUNCTION limit_is_an_act();

CREATE TABLE bet_limits (                       -- settings, taken over by `rooms migrate`
    name text PRIMARY KEY,
    value bigint NOT NULL CHECK (value >= 0),
    changed_at bigint NOT NULL DEFAULT now_ms()
);
INSERT INTO bet_limits (name, value) VALUES ('returned_fee_lamports_hour_max', 2000000);
CREATE TRIGGER limit_is_an_act AFTER UPDATE ON bet_limits
    FOR EACH ROW WHEN (OLD.value <> NEW.value) EXECUTE FUNCTION limit_is_an_act();

CREATE TABLE returned_fees (                    -- what the network took for bets that came back
    user_id bigint NOT NULL REFERENCES users (id),
    hour bigint NOT NULL,                       -- of the block, since 1970
    lamports bigint NOT NULL CHECK (lamports > 0),
    PRIMARY KEY (user_id, hour)
);

-- Counted when the chain has told an attempt's fee: of a refund its part, and what its stake had
-- cost; of a stake that was refused all of it.
CREATE FUNCTION count_returned_fees() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    BEGIN
        INSERT INTO returned_fees (user_id, hour, lamports)
        SELECT c.user_id, NEW.block_at / 3600000, sum(c.lamports)
        FROM (
            SELECT t.user_id,
                   -- Rounded up: the parts are at least the whole.
                   (NEW.fee_lamports + count(*) OVER () - 1) / count(*) OVER ()
                   + coalesce((SELECT a.fee_lamports FROM stakes s
                               JOIN attempts a ON a.signature = s.signature
                               WHERE t.kind = 'refund' AND s.id = t.subject_id), 0) AS lamports,
                   t.kind
            FROM attempt_transfers l JOIN transfers t ON t.id = l.transfer_id
            WHERE l.attempt_id = NEW.id
        ) c
        WHERE (c.kind = 'refund' AND NEW.state = 'LANDED')
           OR (c.kind = 'stake' AND NEW.state = 'REFUSED')
        GROUP BY c.user_id
        ORDER BY c.user_id
        ON CONFLICT (user_id, hour)
            DO UPDATE SET lamports = returned_fees.lamports + excluded.lamports;
        RETURN NULL;
    END $$;
CREATE TRIGGER count_returned_fees AFTER UPDATE OF fee_lamports ON attempts
    FOR EACH ROW WHEN (OLD.fee_lamports IS NULL AND NEW.fee_lamports IS NOT NULL)
    EXECUTE FUNCTION count_returned_fees();

CREATE TABLE audit_log (                        -- acts and events about money, each bound to the one before
    number bigint PRIMARY KEY CHECK (number > 0),
    at bigint NOT NULL,
    kind text NOT NULL,
    event bigint UNIQUE,                        -- the number of the event it repeats
    act bigint UNIQUE REFERENCES acts (id),
    facts jsonb NOT NULL,
    hash text NOT NULL,                         -- sha256 over the hash before it and this row
    CHECK ((event IS NULL) <> (act IS NULL))
);

CREATE TRIGGER acts_append_only BEFORE UPDATE OR DELETE ON acts
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- report_breach(key, rule, what) -> whether it is new
-- Closes everything, once for each key: who resumes despite it has decided so.
CREATE FUNCTION report_breach(breach text, rule text, what text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
    BEGIN
        INSERT INTO acts (key, kind, subject, reason, who)
        VALUES (breach, 'breach', rule, what,
                CASE session_user WHEN 'rooms_custody' THEN 'custody' ELSE 'auditor' END)
        ON CONFLICT (key) DO NOTHING;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
        INSERT INTO flags (name, open, reason) VALUES ('all', false, what)
        ON CONFLICT (name) DO UPDATE SET open = false, reason = what, changed_at = now_ms();
        RETURN true;
    END $$;

-- What became final after a slot: the auditor looks back from where a provider stands.
CREATE INDEX attempts_of_heads ON attempts (memo) WHERE memo LIKE 'r1 audit %';
CREATE INDEX attempts_by_slot ON attempts (slot) WHERE slot IS NOT NULL;
CREATE INDEX deposits_by_slot ON deposits (slot);

-- Recording ------------------------------------------------------------------------------------

CREATE TABLE segments (                         -- a feed's log of one minute, or of a part of it
    hash text PRIMARY KEY,                      -- sha256 of its content
    feed text NOT NULL REFERENCES feeds (name),
    partition integer NOT NULL,
    minute_at bigint NOT NULL,
    from_at bigint NOT NULL,                    -- the log's time after its first message
    to_at bigint NOT NULL,                      -- and after its last
    first_offset bigint NOT NULL,
    last_offset bigint NOT NULL,
    messages integer NOT NULL,
    missed jsonb,                               -- [first offset not heard, the one heard next]
    file text NOT NULL,                         -- from the recordings' folder
    closed_at bigint NOT NULL DEFAULT now_ms(),
    is_warm boolean NOT NULL DEFAULT false      -- a replay may begin there
);
CREATE INDEX segments_by_feed ON segments (feed, to_at);
CREATE INDEX segments_by_minute ON segments (minute_at);

CREATE TABLE evidence (                             -- insert only
    room_id bigint PRIMARY KEY REFERENCES rooms (id),
    hash text NOT NULL,                             -- sha256 of the bundle's canonical text
    bundle bytea NOT NULL,                          -- that text, in zlib's form
    at bigint NOT NULL DEFAULT now_ms()
);
CREATE TRIGGER evidence_append_only BEFORE UPDATE OR DELETE ON evidence
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Who may do what ---------------------------------------------------------------------------------
-- One role a process, each with what its process does and nothing else.
-- Money has narrow ways: entries through post_entries (the worker's holds and settlements) and the
-- posts of what happened on chain (custody's), accounts through make_accounts and lock_accounts, transfers through the plans, wake-ups through wake_up. Each runs with its owner's
-- rights, so that no process needs a right to the tables behind it.

DO $$
DECLARE role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['rooms_feeds', 'rooms_worker', 'rooms_custody', 'rooms_bot',
                                'rooms_gateway', 'rooms_auditor', 'rooms_recorder'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = role);
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN', role);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;  -- another database was faster
        END;
    END LOOP;
END $$;

-- Which entries a session may post: the worker reserves and divides, custody says what happened.
CREATE FUNCTION entries_by_right() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    DECLARE wrong text;
    BEGIN
        IF pg_has_role(session_user, current_user, 'MEMBER') THEN
            RETURN NULL;
        END IF;
        SELECT key INTO wrong FROM fresh
        WHERE NOT CASE session_user
            WHEN 'rooms_worker' THEN
                split_part(key, ':', 1) IN ('hold', 'settlement')
                OR (key LIKE 'release:withdrawal:%'
                    AND EXISTS (SELECT FROM withdrawals w
                                WHERE w.id::text = split_part(key, ':', 3)
                                  AND w.state = 'RELEASED' AND w.left_at IS NULL))
            WHEN 'rooms_custody' THEN split_part(key, ':', 1) NOT IN ('hold', 'settlement')
            ELSE false
        END
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION '% may not post %', session_user, wrong
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN NULL;
    END $$;

CREATE TRIGGER entries_by_right AFTER INSERT ON entries
    REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION entries_by_right();

-- make_accounts(names) -> nothing
CREATE FUNCTION make_accounts(names text[]) RETURNS void
    LANGUAGE sql
    AS $$
        INSERT INTO accounts (name)
        SELECT DISTINCT n FROM unnest(names) AS t (n) ORDER BY 1
        ON CONFLICT DO NOTHING;
    $$;

-- lock_accounts(names) -> name and balance
CREATE FUNCTION lock_accounts(names text[]) RETURNS TABLE (name text, balance bigint)
    LANGUAGE sql
    AS $$
        SELECT a.name, a.balance FROM accounts a WHERE a.name = ANY (names)
        ORDER BY a.name FOR UPDATE;
    $$;

-- wake_up(topic) -> nothing
CREATE FUNCTION wake_up(wanted text) RETURNS void
    LANGUAGE plpgsql
    AS $$
    BEGIN
        IF wanted NOT IN ('bets', 'settlements', 'withdrawals', 'openings', 'custody') THEN
            RAISE EXCEPTION 'nobody is woken by %', wanted USING ERRCODE = 'check_violation';
        END IF;
        INSERT INTO outbox (topic, key, payload) VALUES (wanted, '', '{}');
    END $$;

-- plan_stakes(stakes) -> keys of the transfers that are new
-- From the person's address to the room's vault. After lock no stake is signed anew.
CREATE FUNCTION plan_stakes(stakes bigint[]) RETURNS SETOF text
    LANGUAGE sql
    AS $$
        INSERT INTO transfers (key, kind, room_id, user_id, subject_id, from_address, to_address,
                               lamports, sign_by, due_at, asset)
        SELECT 'stake:' || s.id, 'stake', s.room_id, s.user_id, s.id, own.address, vault.address,
               s.lamports, r.lock_at, r.cut_at, r.asset
        FROM stakes s
        JOIN rooms r ON r.id = s.room_id
        JOIN places own ON own.user_id = s.user_id AND own.asset = r.asset
        JOIN places vault ON vault.room_id = s.room_id AND vault.asset = r.asset
        WHERE s.id = ANY ($1) AND s.state = 'HELD'
        ORDER BY s.id
        ON CONFLICT (key) DO NOTHING
        RETURNING key;
    $$;

-- plan_refunds(stakes) -> keys of the transfers that are new
-- Only of a stake that missed the cut, or that landed in a room whose settlement is a void.
CREATE FUNCTION plan_refunds(stakes bigint[]) RETURNS SETOF text
    LANGUAGE sql
    AS $$
        INSERT INTO transfers (key, kind, room_id, user_id, subject_id, from_address, to_address,
                               lamports, due_at, asset)
        SELECT 'refund:' || s.id, 'refund', s.room_id, s.user_id, s.id, vault.address, own.address,
               s.lamports, now_ms(), r.asset
        FROM stakes s
        JOIN rooms r ON r.id = s.room_id
        JOIN places own ON own.user_id = s.user_id AND own.asset = r.asset
        JOIN places vault ON vault.room_id = s.room_id AND vault.asset = r.asset
        WHERE s.id = ANY ($1)
          AND (s.state = 'MISSED'
               OR (s.state = 'LANDED'
                   AND EXISTS (SELECT FROM settlements d
                               WHERE d.room_id = s.room_id AND d.outcome = 'VOID')))
        ORDER BY s.id
        ON CONFLICT (key) DO NOTHING
        RETURNING key;
    $$;

-- plan_payouts(rooms, users, lamports) -> keys of the transfers that are new
-- Only to a person whose bet is on the side that the settlement names.
CREATE FUNCTION plan_payouts(rooms bigint[], users bigint[], amounts bigint[]) RETURNS SETOF text
    LANGUAGE sql
    AS $$
        INSERT INTO transfers (key, kind, room_id, user_id, from_address, to_address, lamports,
                               due_at, asset)
        SELECT 'payout:' || w.room_id || ':' || w.user_id, 'payout', w.room_id, w.user_id,
               vault.address, own.address, w.lamports, d.at, r.asset
        FROM unnest($1, $2, $3) WITH ORDINALITY AS w (room_id, user_id, lamports, ordinal)
        JOIN rooms r ON r.id = w.room_id
        JOIN settlements d ON d.room_id = w.room_id
        JOIN bets b ON b.room_id = w.room_id AND b.user_id = w.user_id AND b.side = d.outcome
        JOIN places own ON own.user_id = w.user_id AND own.asset = r.asset
        JOIN places vault ON vault.room_id = w.room_id AND vault.asset = r.asset
        ORDER BY w.ordinal
        ON CONFLICT (key) DO NOTHING
        RETURNING key;
    $$;

-- plan_shares(rooms) -> keys of the transfers that are new
-- What a settlement leaves for the house and the earners goes to the treasury in one.
CREATE FUNCTION plan_shares(rooms bigint[]) RETURNS SETOF text
    LANGUAGE sql
    AS $$
        INSERT INTO transfers (key, kind, room_id, from_address, to_address, lamports, due_at,
                               asset)
        SELECT 'shares:' || d.room_id, 'shares', d.room_id, vault.address, treasury.address,
               d.house + shared.lamports, d.at, r.asset
        FROM settlements d
        JOIN rooms r ON r.id = d.room_id
        JOIN places vault ON vault.room_id = d.room_id AND vault.asset = r.asset
        JOIN places treasury ON treasury.kind = 'treasury' AND treasury.asset = r.asset
        CROSS JOIN LATERAL (
            SELECT coalesce(sum((s ->> 1)::bigint), 0)::bigint AS lamports
            FROM jsonb_array_elements(d.shares) s
        ) shared
        WHERE d.room_id = ANY ($1) AND d.house + shared.lamports > 0
        ORDER BY d.room_id
        ON CONFLICT (key) DO NOTHING
        RETURNING key;
    $$;

-- plan_withdrawals(withdrawals) -> keys of the transfers that are new
CREATE FUNCTION plan_withdrawals(withdrawals bigint[]) RETURNS SETOF text
    LANGUAGE sql
    AS $$
        INSERT INTO transfers (key, kind, user_id, subject_id, from_address, to_address, lamports,
                               due_at, asset)
        SELECT 'withdrawal:' || w.id, 'withdrawal', w.user_id, w.id, own.address, w.to_address,
               w.lamports, w.due_at, w.asset
        FROM withdrawals w
        JOIN places own ON own.user_id = w.user_id AND own.asset = w.asset
        WHERE w.id = ANY ($1) AND w.state = 'LEAVING'
        ORDER BY w.id
        ON CONFLICT (key) DO NOTHING
        RETURNING key;
    $$;

ALTER FUNCTION post_entries SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION make_accounts SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION lock_accounts SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION wake_up SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION report_breach SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION plan_stakes SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION plan_refunds SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION plan_payouts SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION plan_shares SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION plan_withdrawals SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION attempts_fenced SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION begin_epoch SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION post_receipts SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION post_releases SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION undo_deposit SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION post_deposit SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION post_entries, make_accounts, lock_accounts, wake_up, report_breach,
    plan_stakes, plan_refunds, plan_payouts, plan_shares, plan_withdrawals FROM PUBLIC;
ALTER FUNCTION begin_restore SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION restore_room SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION restore_stake SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION restore_withdrawal SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION restore_outcome SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION begin_restore, must_be_forgotten, restore_room, restore_stake,
    restore_withdrawal, restore_outcome FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION begin_epoch, post_legs, post_receipts, post_releases, deposit_legs,
    undo_deposit, post_deposit FROM PUBLIC;

-- feeds: hears the venues.
GRANT SELECT ON wanted TO rooms_feeds;

-- worker: decides bets, crossings and settlements; knows no attempt and no bytes of one.
GRANT SELECT ON users, addresses, feeds, feed_seconds, room_requests, rooms, crossings,
    bet_requests, bets, stakes, settlements, withdrawals, accounts, entries, transfers, outbox,
    set_aside, flags, open_rooms TO rooms_worker;
GRANT INSERT ON feed_seconds, rooms, crossings, bets, stakes, settlements TO rooms_worker;
GRANT UPDATE (guards) ON rooms TO rooms_worker;
GRANT INSERT (topic, key, payload) ON outbox TO rooms_worker;
GRANT INSERT (origin, payload, reason) ON set_aside TO rooms_worker;
GRANT UPDATE (low, high, last, changes, silence, log_position, memory) ON feed_seconds
    TO rooms_worker;
GRANT UPDATE (done_at, room_id, refusal) ON room_requests TO rooms_worker;
GRANT UPDATE (state, outcome, void_reason, target, base, opened_at, lock_at, cut_at, watch_at,
              deadline_at, watched_at, decided_at, settled_at, paid_at, event_count) ON rooms
    TO rooms_worker;
GRANT UPDATE (done_at, stake_id, refusal) ON bet_requests TO rooms_worker;
GRANT UPDATE (state, due_at, refusal) ON withdrawals TO rooms_worker;
GRANT UPDATE (number, sent_at), DELETE ON outbox TO rooms_worker;
GRANT DELETE ON feed_seconds TO rooms_worker;
GRANT USAGE ON SEQUENCE stakes_id_seq TO rooms_worker;
GRANT EXECUTE ON FUNCTION post_entries, make_accounts, lock_accounts, wake_up,
    plan_stakes, plan_refunds, plan_payouts, plan_shares, plan_withdrawals TO rooms_worker;

-- custody: signs and sends planned transfers, says what became of them, seals.
GRANT SELECT ON users, addresses, rooms, bets, stakes, settlements, withdrawals, accounts, entries,
    postings, transfers, attempts, attempt_transfers, attempt_floors, deposits, cursors, set_aside,
    flags TO rooms_custody;
GRANT INSERT ON addresses, attempts, attempt_transfers, attempt_floors TO rooms_custody;
GRANT INSERT (name, position, stopped_reason) ON cursors TO rooms_custody;
GRANT INSERT (topic, key, payload) ON outbox TO rooms_custody;
GRANT INSERT (origin, payload, reason) ON set_aside TO rooms_custody;
GRANT UPDATE (state, outcome, void_reason, decided_at, sealed_at, sealed_slot, sealed_yes,
              sealed_no, paid_at, event_count) ON rooms TO rooms_custody;
GRANT UPDATE (state, landed_at, landed_slot) ON stakes TO rooms_custody;
GRANT UPDATE (state) ON withdrawals TO rooms_custody;
GRANT UPDATE (state, ended_at, not_before, refused_count, alone) ON transfers TO rooms_custody;
GRANT UPDATE (sent_at, state, slot, block_at, fee_lamports, error, ended_at) ON attempts
    TO rooms_custody;
GRANT UPDATE (live) ON attempt_transfers TO rooms_custody;
GRANT UPDATE (position, stopped_reason, moved_at) ON cursors TO rooms_custody;
GRANT EXECUTE ON FUNCTION wake_up, plan_refunds, begin_epoch, post_receipts, post_releases,
    post_deposit, undo_deposit TO rooms_custody;

-- bot: writes down what people ask for, and shows them what is.
GRANT SELECT ON users, addresses, feeds, room_requests, rooms, crossings, bet_requests, bets,
    stakes, settlements, withdrawals, accounts, entries, postings, transfers, attempt_transfers,
    cursors, updates, conversations, buttons, notices TO rooms_bot;
GRANT SELECT (id, signature, state) ON attempts TO rooms_bot;
GRANT SELECT (topic, payload, number) ON outbox TO rooms_bot;
GRANT INSERT (id, chat_id, name, referrer) ON users TO rooms_bot;
GRANT INSERT (key, creator, feed, request) ON room_requests TO rooms_bot;
GRANT INSERT (key, user_id, room_id, side, lamports) ON bet_requests TO rooms_bot;
GRANT INSERT (key, user_id, to_address, lamports) ON withdrawals TO rooms_bot;
GRANT INSERT (name, position) ON cursors TO rooms_bot;
GRANT INSERT (origin, payload, reason) ON set_aside TO rooms_bot;
GRANT SELECT (origin) ON set_aside TO rooms_bot;
GRANT INSERT ON updates, conversations, buttons, notices TO rooms_bot;
GRANT UPDATE (chat_id, name, blocked) ON users TO rooms_bot;
GRANT UPDATE (drafted_at) ON feeds TO rooms_bot;
GRANT UPDATE (position, moved_at) ON cursors TO rooms_bot;
GRANT UPDATE (done_at, replies, attempts, error) ON updates TO rooms_bot;
GRANT UPDATE (state, changed_at) ON conversations TO rooms_bot;
GRANT UPDATE (used_at) ON buttons TO rooms_bot;
GRANT UPDATE (told_at, attempts, error) ON notices TO rooms_bot;
GRANT DELETE ON updates, conversations, buttons TO rooms_bot;
GRANT EXECUTE ON FUNCTION wake_up TO rooms_bot;

-- gateway: tells programs what is public.
GRANT SELECT (topic, payload, number) ON outbox TO rooms_gateway;
GRANT SELECT ON feeds TO rooms_gateway;

-- auditor: reads everything, appends to the audit log, closes everything.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO rooms_auditor;
GRANT INSERT ON audit_log TO rooms_auditor;
GRANT EXECUTE ON FUNCTION report_breach TO rooms_auditor;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO rooms_auditor;

-- Custody divides again before it signs, and pauses everything when a plan is otherwise.
GRANT EXECUTE ON FUNCTION report_breach TO rooms_custody;
GRANT SELECT ON crossings TO rooms_custody;
GRANT EXECUTE ON FUNCTION begin_restore, restore_room, restore_stake, restore_withdrawal,
    restore_outcome TO rooms_custody;
GRANT SELECT ON restores, forgotten TO rooms_custody;
GRANT UPDATE (read_at, done_at) ON restores TO rooms_custody;
GRANT INSERT (signature, slot, block_at, memo) ON forgotten TO rooms_custody;
GRANT UPDATE (placed_at, waits_for) ON forgotten TO rooms_custody;

-- withdrawals: limits and address books.
GRANT SELECT ON withdrawal_limits TO rooms_worker, rooms_custody, rooms_bot;
GRANT SELECT ON address_book TO rooms_worker, rooms_bot;
GRANT UPDATE (left_at) ON withdrawals TO rooms_worker;
GRANT UPDATE (cancel_asked_at) ON withdrawals TO rooms_bot;
GRANT INSERT (user_id, address), UPDATE (removed_at) ON address_book TO rooms_bot;

REVOKE SELECT ON second_factors FROM rooms_auditor;
GRANT SELECT (user_id, locked_until, changed_at) ON second_factors TO rooms_worker;
GRANT SELECT, INSERT, UPDATE ON second_factors TO rooms_bot;
GRANT UPDATE (payload) ON updates TO rooms_bot;  -- what was sealed in it is taken out once it is done

-- How far each reader has come is its own: custody cannot make the bot forget, nor the bot custody.
ALTER TABLE cursors ENABLE ROW LEVEL SECURITY;
CREATE POLICY cursors_are_read ON cursors FOR SELECT USING (true);
CREATE POLICY cursors_of_bot ON cursors TO rooms_bot USING (name = 'notices');
CREATE POLICY cursors_of_custody ON cursors TO rooms_custody USING (name <> 'notices');

-- Who is frozen is refused a bet.
GRANT SELECT ON deposits TO rooms_worker;

GRANT SELECT, INSERT, UPDATE, DELETE ON signing_requests TO rooms_custody;

-- recorder: writes down what came, and decides nothing.
GRANT SELECT ON feeds, feed_seconds, segments TO rooms_recorder;
GRANT INSERT, DELETE ON segments TO rooms_recorder;
GRANT SELECT ON segments TO rooms_worker;

-- evidence: the worker writes it, the gateway shows it.
GRANT UPDATE (signature) ON stakes TO rooms_custody;
GRANT UPDATE (base_evidence, noted_at) ON rooms TO rooms_worker;
GRANT SELECT, INSERT ON evidence TO rooms_worker;
GRANT SELECT ON evidence TO rooms_gateway;
GRANT SELECT (id, feed, state, outcome, decided_at) ON rooms TO rooms_recorder;
GRANT SELECT ON evidence TO rooms_custody;
GRANT SELECT (number, event, hash) ON audit_log TO rooms_custody;

-- coverage came later: the auditor reads it by the line above.
GRANT SELECT ON coverage TO rooms_worker, rooms_bot;
GRANT INSERT ON coverage TO rooms_worker;

-- define_expression(text, inputs, unit, scale, volatility, guards, liquidity, how many may be)
--   -> whether it is there and wanted
-- Its name is made here, so that nobody gives an expression the name of another.
CREATE FUNCTION define_expression(wanted_text text, made_of jsonb, unit text, scale integer,
                                  volatility integer, guards jsonb, liquidity text, most integer)
    RETURNS boolean
    LANGUAGE plpgsql
    AS $$
    DECLARE
        called text := 'expr:' || left(encode(sha256(convert_to(wanted_text, 'UTF8')), 'hex'), 32);
    BEGIN
        IF EXISTS (SELECT FROM jsonb_each(made_of) AS i (feed, its_scale)
                   LEFT JOIN feeds f ON f.name = i.feed AND f.expression IS NULL
                                    AND to_jsonb(f.scale) = i.its_scale
                   WHERE f.name IS NULL) THEN
            RAISE EXCEPTION 'made of what is no plain feed: %', made_of
                USING ERRCODE = 'check_violation';
        END IF;
        IF NOT EXISTS (SELECT FROM wanted_expressions WHERE name = called)
           AND (SELECT count(*) FROM wanted_expressions) >= most THEN
            RETURN false;
        END IF;
        INSERT INTO feeds (name, unit, scale, symbols, volatility_bps, guards, liquidity, offered,
                           made_with, expression, inputs, drafted_at)
        SELECT called, define_expression.unit, define_expression.scale, '{}', volatility,
               define_expression.guards, define_expression.liquidity, false,
               ARRAY(SELECT jsonb_object_keys(made_of) ORDER BY 1), wanted_text, made_of, now_ms()
        ON CONFLICT (name) DO UPDATE SET drafted_at = now_ms();
        RETURN true;
    END $$;

ALTER FUNCTION define_expression SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION define_expression FROM PUBLIC;
GRANT EXECUTE ON FUNCTION define_expression TO rooms_bot;
GRANT SELECT ON wanted_expressions TO rooms_worker;

-- miss_late_stakes(room) -> stakes that landed in a live room after what became its cut
-- A live room is cut by its touch: such a stake is not in the pool, and goes back in full.
CREATE FUNCTION miss_late_stakes(room bigint)
    RETURNS TABLE (stake_id bigint, owner_id bigint, amount bigint)
    LANGUAGE plpgsql
    AS $$
    DECLARE late bigint[];
    BEGIN
        WITH missed AS (
            UPDATE stakes s SET state = 'MISSED'
            FROM rooms r
            WHERE r.id = room AND s.room_id = r.id AND r.is_live AND r.sealed_at IS NULL
              AND s.state = 'LANDED' AND s.landed_at > r.cut_at
            RETURNING s.id
        )
        SELECT array_agg(m.id ORDER BY m.id) INTO late FROM missed m;
        PERFORM post_legs((
            SELECT jsonb_agg(leg ORDER BY s.id, leg ->> 1)
            FROM stakes s
            JOIN rooms r ON r.id = s.room_id
            CROSS JOIN LATERAL (VALUES
                (jsonb_build_array('late:' || s.id, of_asset('pool:' || s.room_id, r.asset),
                                   -s.lamports)),
                (jsonb_build_array('late:' || s.id, of_asset('due:' || s.room_id, r.asset),
                                   s.lamports))
            ) AS l (leg)
            WHERE s.id = ANY (late)))
        WHERE late IS NOT NULL;
        RETURN QUERY
        SELECT s.id, s.user_id, s.lamports FROM stakes s WHERE s.id = ANY (late) ORDER BY s.id;
    END $$;

ALTER FUNCTION miss_late_stakes SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION miss_late_stakes FROM PUBLIC;
GRANT EXECUTE ON FUNCTION miss_late_stakes TO rooms_custody;

-- Custody closes a flag by itself.

-- close_flag(flag, why) -> whether that was not known yet
-- Only ever closes. The same reason is written down once for as long as the flag stays closed.
CREATE FUNCTION close_flag(flag text, why text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtext('rooms.close_flag'));
        IF NOT EXISTS (SELECT FROM flags f WHERE f.name = flag AND f.open)
           AND EXISTS (SELECT FROM acts a
                       WHERE a.kind = 'pause' AND a.subject = flag AND a.reason = why) THEN
            RETURN false;
        END IF;
        INSERT INTO acts (kind, subject, reason, who)
        VALUES ('pause', flag, why,
                CASE session_user WHEN 'rooms_custody' THEN 'custody' ELSE session_user END);
        INSERT INTO flags (name, open, reason) VALUES (flag, false, why)
        ON CONFLICT (name) DO UPDATE SET open = false, reason = why, changed_at = now_ms();
        RETURN true;
    END $$;

ALTER FUNCTION close_flag SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION close_flag FROM PUBLIC;
GRANT EXECUTE ON FUNCTION close_flag TO rooms_custody;


-- What a webhook says that it saw: where custody is to look, and nothing more.

CREATE TABLE deposit_hints (
    signature text NOT NULL,
    address text NOT NULL REFERENCES addresses (address),
    heard_at bigint NOT NULL DEFAULT now_ms(),
    taken_at bigint,                            -- custody has gone to look
    PRIMARY KEY (signature, address)
);
CREATE INDEX deposit_hints_waiting ON deposit_hints (heard_at) WHERE taken_at IS NULL;

-- hear_deposits(signatures, addresses) -> how many are new
-- Addresses that are not ours are passed over; whoever tells need not know which are.
CREATE FUNCTION hear_deposits(signatures text[], places text[]) RETURNS integer
    LANGUAGE plpgsql
    AS $$
    DECLARE fresh integer;
    BEGIN
        INSERT INTO deposit_hints (signature, address)
        SELECT DISTINCT h.signature, a.address
        FROM unnest(signatures, places) AS h (signature, place)
        JOIN addresses a ON a.address = h.place
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS fresh = ROW_COUNT;
        IF fresh > 0 THEN
            PERFORM wake_up('custody');
        END IF;
        RETURN fresh;
    END $$;

ALTER FUNCTION hear_deposits SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION hear_deposits FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hear_deposits TO rooms_gateway;
GRANT SELECT, UPDATE (taken_at), DELETE ON deposit_hints TO rooms_custody;
GRANT SELECT ON deposit_hints TO rooms_auditor;

-- tokens: custody writes them and where ours keep them; the view reads both with its owner's rights.
GRANT SELECT ON tokens, places TO rooms_worker, rooms_custody, rooms_bot;
GRANT SELECT, INSERT ON token_accounts TO rooms_custody;
GRANT SELECT ON token_accounts TO rooms_worker, rooms_bot;
GRANT INSERT ON tokens TO rooms_custody;
GRANT INSERT (asset) ON withdrawals TO rooms_bot;

ALTER FUNCTION count_returned_fees SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION count_returned_fees FROM PUBLIC;
GRANT SELECT ON bet_limits, returned_fees TO rooms_worker;

-- What custody signs in an hour has a limit of PostgreSQL's own.
CREATE INDEX attempts_by_signing ON attempts (signed_at);

-- What custody has signed in an hour, by the limit that it counts against. What never landed and
-- never will counts no more, nor does what was read back from the chain after a restore.
CREATE VIEW signed_this_hour AS
SELECT 'signed_lamports_hour_max' AS name, coalesce(sum(t.lamports), 0)::bigint AS lamports
FROM attempts a
JOIN attempt_transfers l ON l.attempt_id = a.id
JOIN transfers t ON t.id = l.transfer_id
WHERE a.signed_at > now_ms() - 3600000 AND a.state IN ('SIGNED', 'LANDED')
  AND a.raw <> '' AND t.kind = 'withdrawal' AND t.asset = 'SOL'
UNION ALL
SELECT 'floor_lamports_hour_max', coalesce(sum(f.lamports), 0)::bigint
FROM attempts a
JOIN attempt_floors f ON f.attempt_id = a.id
WHERE a.signed_at > now_ms() - 3600000 AND a.state IN ('SIGNED', 'LANDED')
  AND a.raw <> '';

-- Whoever writes a signing down, and however: above the limit it is refused.
CREATE FUNCTION signed_within_limits() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    DECLARE broken text;
    BEGIN
        IF TG_TABLE_NAME = 'attempt_transfers' THEN
            IF NOT EXISTS (SELECT FROM fresh f JOIN transfers t ON t.id = f.transfer_id
                           WHERE t.kind = 'withdrawal') THEN
                RETURN NULL;
            END IF;
        ELSIF NOT EXISTS (SELECT FROM fresh) THEN
            RETURN NULL;
        END IF;
        PERFORM pg_advisory_xact_lock(hashtext('rooms.signed_this_hour'));
        SELECT s.name INTO broken
        FROM signed_this_hour s LEFT JOIN withdrawal_limits l ON l.name = s.name
        WHERE s.name = TG_ARGV[0] AND s.lamports > coalesce(l.value, 0);
        IF FOUND THEN
            RAISE EXCEPTION 'more would leave in this hour than %', broken USING ERRCODE = 'RL003';
        END IF;
        RETURN NULL;
    END $$;
ALTER FUNCTION signed_within_limits SECURITY DEFINER SET search_path = public, pg_temp;
CREATE TRIGGER signed_within_limits AFTER INSERT ON attempt_transfers
    REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION signed_within_limits('signed_lamports_hour_max');
CREATE TRIGGER floors_within_limits AFTER INSERT ON attempt_floors
    REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION signed_within_limits('floor_lamports_hour_max');

GRANT SELECT ON signed_this_hour TO rooms_custody, rooms_auditor;

-- Returns: floors come back, earned shares go out.
-- quiet_floor(address) -> what of the operator's lies there and may be taken; null when nothing may
-- Nothing is on its way from or to it, nothing that came is not final, and what stays is nothing, or
-- as much as the network wants there. Only of wallets: the rent of a token account stays, as does
-- what lies at the vault of a room in a token.
CREATE FUNCTION quiet_floor(of_address text) RETURNS bigint
    LANGUAGE sql STABLE
    AS $$
        SELECT f.balance
        FROM addresses a
        JOIN accounts f ON f.name = 'floor:' || a.address AND f.balance > 0
        JOIN accounts c ON c.name = 'chain:' || a.address
        WHERE a.address = of_address AND a.kind IN ('user', 'vault')
          AND (c.balance = f.balance OR c.balance >= 2 * f.balance)
          AND NOT EXISTS (SELECT FROM rooms r WHERE r.id = a.room_id AND r.asset <> 'SOL')
          AND NOT EXISTS (SELECT FROM transfers t
                          WHERE t.user_id = a.user_id AND t.state IN ('PLANNED', 'ATTEMPTED'))
          AND NOT EXISTS (SELECT FROM transfers t
                          WHERE t.room_id = a.room_id AND t.state IN ('PLANNED', 'ATTEMPTED'))
          AND NOT EXISTS (SELECT FROM deposits d
                          WHERE d.address = a.address AND d.final_at IS NULL
                            AND d.undone_at IS NULL);
    $$;

-- plan_returns(idle ms, most) -> keys of the transfers that are new
-- The operator's rent minimum comes back from the vault of a room that is paid, and from a person's
-- address where nothing has moved for so long.
CREATE FUNCTION plan_returns(idle_ms bigint, most integer) RETURNS SETOF text
    LANGUAGE sql
    AS $$
        INSERT INTO transfers (key, kind, from_address, to_address, lamports, due_at)
        -- Whatever else waits is signed before it.
        SELECT 'return:' || a.address || ':' || c.version, 'return', a.address, payer.address,
               quiet_floor(a.address), now_ms() + 3600000
        FROM addresses a
        JOIN addresses payer ON payer.kind = 'fee_payer'
        JOIN accounts f ON f.name = 'floor:' || a.address AND f.balance > 0
        JOIN accounts c ON c.name = 'chain:' || a.address
        LEFT JOIN rooms r ON r.id = a.room_id
        WHERE CASE a.kind
                  WHEN 'vault' THEN r.state = 'PAID'
                  WHEN 'user' THEN (SELECT e.at FROM postings p JOIN entries e ON e.id = p.entry_id
                                    WHERE p.account = c.name AND p.version = c.version)
                                   <= now_ms() - idle_ms
              END
          AND NOT EXISTS (SELECT FROM transfers t
                          WHERE t.key = 'return:' || a.address || ':' || c.version)
          AND NOT EXISTS (SELECT FROM transfers t
                          WHERE t.from_address = a.address AND t.kind = 'return'
                            AND t.state IN ('PLANNED', 'ATTEMPTED'))
          AND quiet_floor(a.address) > 0
        ORDER BY a.address LIMIT most
        ON CONFLICT DO NOTHING
        RETURNING key;
    $$;

-- plan_earnings(lamports min, most) -> keys of the transfers that are new
-- What a person earned in SOL as host or by invitations goes from the treasury to his address.
CREATE FUNCTION plan_earnings(lamports_min bigint, most integer) RETURNS SETOF text
    LANGUAGE sql
    AS $$
        INSERT INTO transfers (key, kind, user_id, from_address, to_address, lamports, due_at)
        SELECT 'earning:' || own.user_id || ':' || e.version, 'earning', own.user_id,
               treasury.address, own.address, e.balance, now_ms()
        FROM addresses own
        JOIN accounts e ON e.name = 'earned:' || own.user_id AND e.balance >= greatest(lamports_min, 1)
        JOIN addresses treasury ON treasury.kind = 'treasury'
        WHERE NOT EXISTS (SELECT FROM transfers t
                          WHERE t.user_id = own.user_id AND t.kind = 'earning'
                            AND t.state IN ('PLANNED', 'ATTEMPTED'))
        ORDER BY own.user_id LIMIT most
        ON CONFLICT DO NOTHING
        RETURNING key;
    $$;

-- restore_return(signature, from, lamports) -> nothing
CREATE FUNCTION restore_return(of_signature text, source text, amount bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
    BEGIN
        PERFORM must_be_forgotten(of_signature);
        IF NOT EXISTS (SELECT FROM addresses a JOIN accounts f ON f.name = 'floor:' || a.address
                       WHERE a.address = source AND f.balance >= amount) THEN
            RAISE EXCEPTION 'nothing says yet that % lamports of the operator lie at %',
                amount, source USING ERRCODE = 'check_violation';
        END IF;
        -- What these old rows had planned instead was never signed, and is planned again.
        UPDATE transfers SET state = 'RELEASED', ended_at = now_ms()
        WHERE kind = 'return' AND from_address = source AND state = 'PLANNED';
        INSERT INTO transfers (key, kind, from_address, to_address, lamports, due_at)
        SELECT 'return:' || source || ':' || of_signature, 'return', source, address, amount,
               now_ms()
        FROM addresses WHERE kind = 'fee_payer';
    END $$;

-- restore_earning(signature, to, lamports) -> nothing
CREATE FUNCTION restore_earning(of_signature text, destination text, amount bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
    DECLARE person bigint;
    BEGIN
        PERFORM must_be_forgotten(of_signature);
        SELECT user_id INTO STRICT person
        FROM addresses WHERE address = destination AND kind = 'user';
        IF NOT EXISTS (SELECT FROM accounts
                       WHERE name = 'earned:' || person AND balance >= amount) THEN
            RAISE EXCEPTION 'nothing says yet that person % has earned % lamports',
                person, amount USING ERRCODE = 'check_violation';
        END IF;
        UPDATE transfers SET state = 'RELEASED', ended_at = now_ms()
        WHERE kind = 'earning' AND user_id = person AND state = 'PLANNED';
        INSERT INTO transfers (key, kind, user_id, from_address, to_address, lamports, due_at)
        SELECT 'earning:' || person || ':' || of_signature, 'earning', person, address,
               destination, amount, now_ms()
        FROM addresses WHERE kind = 'treasury';
    END $$;

ALTER FUNCTION plan_returns SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION plan_earnings SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION restore_return SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION restore_earning SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION plan_returns, plan_earnings, restore_return, restore_earning
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION plan_returns, plan_earnings TO rooms_worker;
GRANT EXECUTE ON FUNCTION restore_return, restore_earning TO rooms_custody;
