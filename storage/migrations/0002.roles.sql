-- Who may do what: one role a process, each with what its process does and nothing else.
-- Money has four narrow ways: entries through post_entries, accounts through make_accounts and
-- lock_accounts, transfers through the plans, wake-ups through wake_up. Each runs with its owner's
-- rights, so that no process needs a right to the tables behind it.

DO $$
DECLARE role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['rooms_feeds', 'rooms_worker', 'rooms_custody', 'rooms_bot',
                                'rooms_gateway', 'rooms_auditor'] LOOP
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
            WHEN 'rooms_worker' THEN split_part(key, ':', 1) IN ('hold', 'settlement')
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
                               lamports, sign_by, due_at)
        SELECT 'stake:' || s.id, 'stake', s.room_id, s.user_id, s.id, own.address, vault.address,
               s.lamports, r.lock_at, r.cut_at
        FROM stakes s
        JOIN rooms r ON r.id = s.room_id
        JOIN addresses own ON own.user_id = s.user_id
        JOIN addresses vault ON vault.room_id = s.room_id
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
                               lamports, due_at)
        SELECT 'refund:' || s.id, 'refund', s.room_id, s.user_id, s.id, vault.address, own.address,
               s.lamports, now_ms()
        FROM stakes s
        JOIN addresses own ON own.user_id = s.user_id
        JOIN addresses vault ON vault.room_id = s.room_id
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
                               due_at)
        SELECT 'payout:' || w.room_id || ':' || w.user_id, 'payout', w.room_id, w.user_id,
               vault.address, own.address, w.lamports, now_ms()
        FROM unnest($1, $2, $3) WITH ORDINALITY AS w (room_id, user_id, lamports, ordinal)
        JOIN settlements d ON d.room_id = w.room_id
        JOIN bets b ON b.room_id = w.room_id AND b.user_id = w.user_id AND b.side = d.outcome
        JOIN addresses own ON own.user_id = w.user_id
        JOIN addresses vault ON vault.room_id = w.room_id
        ORDER BY w.ordinal
        ON CONFLICT (key) DO NOTHING
        RETURNING key;
    $$;

-- plan_shares(rooms) -> keys of the transfers that are new
-- What a settlement leaves for the house and the earners goes to the treasury in one.
CREATE FUNCTION plan_shares(rooms bigint[]) RETURNS SETOF text
    LANGUAGE sql
    AS $$
        INSERT INTO transfers (key, kind, room_id, from_address, to_address, lamports, due_at)
        SELECT 'shares:' || d.room_id, 'shares', d.room_id, vault.address, treasury.address,
               d.house + shared.lamports, now_ms()
        FROM settlements d
        JOIN addresses vault ON vault.room_id = d.room_id
        JOIN addresses treasury ON treasury.kind = 'treasury'
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
                               due_at)
        SELECT 'withdrawal:' || w.id, 'withdrawal', w.user_id, w.id, own.address, w.to_address,
               w.lamports, w.due_at
        FROM withdrawals w
        JOIN addresses own ON own.user_id = w.user_id
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
REVOKE EXECUTE ON FUNCTION post_entries, make_accounts, lock_accounts, wake_up, report_breach,
    plan_stakes, plan_refunds, plan_payouts, plan_shares, plan_withdrawals FROM PUBLIC;

-- feeds: hears the venues.
GRANT SELECT ON wanted TO rooms_feeds;

-- worker: decides bets, crossings and settlements; knows no attempt and no bytes of one.
GRANT SELECT ON users, addresses, feeds, feed_seconds, room_requests, rooms, crossings,
    bet_requests, bets, stakes, settlements, withdrawals, accounts, entries, transfers, outbox,
    set_aside, flags, open_rooms TO rooms_worker;
GRANT INSERT ON feed_seconds, rooms, crossings, bets, stakes, settlements TO rooms_worker;
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
GRANT USAGE ON SEQUENCE stakes_id_seq TO rooms_worker;
GRANT EXECUTE ON FUNCTION post_entries, make_accounts, lock_accounts, wake_up,
    plan_stakes, plan_refunds, plan_payouts, plan_shares, plan_withdrawals TO rooms_worker;

-- custody: signs and sends planned transfers, says what became of them, seals.
GRANT SELECT ON users, addresses, rooms, bets, stakes, settlements, withdrawals, accounts, entries,
    postings, transfers, attempts, attempt_transfers, attempt_floors, deposits, cursors, set_aside,
    flags TO rooms_custody;
GRANT INSERT ON addresses, attempts, attempt_transfers, attempt_floors, deposits TO rooms_custody;
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
GRANT EXECUTE ON FUNCTION post_entries, wake_up, plan_refunds TO rooms_custody;

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

-- How far each reader has come is its own: custody cannot make the bot forget, nor the bot custody.
ALTER TABLE cursors ENABLE ROW LEVEL SECURITY;
CREATE POLICY cursors_are_read ON cursors FOR SELECT USING (true);
CREATE POLICY cursors_of_bot ON cursors TO rooms_bot USING (name = 'notices');
CREATE POLICY cursors_of_custody ON cursors TO rooms_custody USING (name <> 'notices');
