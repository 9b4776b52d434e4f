-- The first schema: people, feeds, rooms, bets, the ledger, transfers, the flow, the bot.
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

-- Feeds -------------------------------------------------------------------------------------------

CREATE TABLE feeds (
    name text PRIMARY KEY,
    unit text NOT NULL,
    scale smallint NOT NULL CHECK (scale BETWEEN 0 AND 12),
    symbols jsonb NOT NULL,                     -- source name: the venue's own symbol
    volatility_bps integer NOT NULL CHECK (volatility_bps > 0),
    guards jsonb NOT NULL,
    standing boolean NOT NULL DEFAULT false,    -- wanted with no room on it too
    drafted_at bigint                           -- when somebody last began a room on it
);

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
    CHECK (move_bps IS NOT NULL OR target IS NOT NULL),
    CHECK (lock_at < cut_at AND cut_at < watch_at AND watch_at < deadline_at),
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
           target_wait_ms, gap_ms_max
    FROM rooms
    WHERE outcome IS NULL AND state <> 'DRAFT';

CREATE VIEW wanted AS                           -- the feeds that somebody needs now
    SELECT f.name, f.scale, f.symbols
    FROM feeds f
    WHERE f.standing
       OR f.drafted_at > now_ms() - 86400000
       OR EXISTS (SELECT FROM rooms r WHERE r.feed = f.name AND r.deadline_at > now_ms() - 86400000);

CREATE TABLE crossings (                        -- the evidence of each YES and each early VOID
    room_id bigint PRIMARY KEY REFERENCES rooms (id),
    at bigint NOT NULL,
    source_at bigint NOT NULL,
    value bigint NOT NULL,
    evidence jsonb NOT NULL
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
    landed_slot bigint
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
    refusal jsonb
);
CREATE INDEX withdrawals_due ON withdrawals (id) WHERE state IN ('ASKED', 'WAITING');
CREATE INDEX withdrawals_by_user ON withdrawals (user_id);

-- Ledger ------------------------------------------------------------------------------------------

CREATE TABLE accounts (
    name text PRIMARY KEY,
    is_where boolean GENERATED ALWAYS AS (name LIKE 'chain:%') STORED,
    balance bigint NOT NULL DEFAULT 0 CHECK (balance >= 0),
    version bigint NOT NULL DEFAULT 0
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
        SELECT coalesce(sum(CASE WHEN a.is_where THEN p.lamports ELSE -p.lamports END), 0)
        INTO difference
        FROM postings p JOIN accounts a ON a.name = p.account
        WHERE p.entry_id = NEW.id;
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
    key text NOT NULL UNIQUE,                   -- stake:7, payout:{room}:{user}, refund:7, shares:{room}, withdrawal:3
    kind text NOT NULL CHECK (kind IN ('stake', 'payout', 'refund', 'shares', 'withdrawal')),
    room_id bigint REFERENCES rooms (id),
    user_id bigint REFERENCES users (id),       -- whose money it is; null for shares
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
    alone boolean NOT NULL DEFAULT false        -- its batch was refused: it is signed by itself
);
CREATE INDEX transfers_planned ON transfers (due_at) WHERE state = 'PLANNED';
CREATE INDEX transfers_by_user ON transfers (user_id, room_id);
CREATE INDEX transfers_moving ON transfers (room_id) WHERE state IN ('PLANNED', 'ATTEMPTED');

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
    ended_at bigint
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
    address text NOT NULL REFERENCES addresses (address),
    lamports bigint NOT NULL CHECK (lamports > 0),
    slot bigint NOT NULL,
    owner text NOT NULL,                        -- the account it was posted to
    seen_at bigint NOT NULL DEFAULT now_ms(),
    PRIMARY KEY (signature, address)
);

CREATE TABLE cursors (                          -- how far each reader has come
    name text PRIMARY KEY,                      -- deposits:{address}, notices, …
    position text NOT NULL,
    stopped_reason text,
    moved_at bigint NOT NULL DEFAULT now_ms()
);

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
