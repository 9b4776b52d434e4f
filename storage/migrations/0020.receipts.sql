-- What happened on chain becomes an entry by narrow functions that take accounts and amounts from
-- the rows of plan, attempt and deposit; custody posts nothing by any other way, and writes a
-- signing down only in the epoch of the lease that it holds.
-- depends: 0003.open_rooms

ALTER TABLE deposits DROP CONSTRAINT deposits_lamports_check;
ALTER TABLE deposits
    ADD COLUMN other_lamports bigint NOT NULL DEFAULT 0,    -- came along by no transfer: stray
    ADD COLUMN times integer NOT NULL DEFAULT 1,            -- how often a fork brought it
    ADD COLUMN final_at bigint,                             -- until then a fork can take it back
    ADD COLUMN gone_at bigint,                              -- the finalized chain has not got it
    ADD COLUMN undone_at bigint,
    ADD CHECK (lamports >= 0 AND other_lamports >= 0 AND lamports + other_lamports > 0);
UPDATE deposits SET final_at = seen_at;
CREATE INDEX deposits_not_final ON deposits (owner) WHERE final_at IS NULL AND undone_at IS NULL;

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

ALTER TABLE attempts
    ADD COLUMN epoch bigint NOT NULL DEFAULT 0; -- of the custody that signed it

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
            SELECT 3, m.id, m.key, leg.account, leg.lamports
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
            ('held:' || t.user_id, -t.lamports),
            ('available:' || t.user_id, t.lamports)) AS leg (account, lamports)
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
            ('', 'chain:' || d.address, d.lamports), ('', d.owner, d.lamports),
            (':other', 'chain:' || d.address, d.other_lamports),
            (':other', 'stray:' || d.address, d.other_lamports)) AS leg (tail, account, lamports);
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
        WHERE name IN (kept.owner, 'chain:' || kept.address, 'stray:' || kept.address)
        ORDER BY name FOR UPDATE;
        IF EXISTS (
            SELECT FROM (
                SELECT kept.owner AS name, kept.lamports AS lamports
                UNION ALL SELECT 'stray:' || kept.address, kept.other_lamports
                UNION ALL SELECT 'chain:' || kept.address, kept.lamports + kept.other_lamports
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
    BEGIN
        SELECT CASE
            WHEN a.kind IN ('treasury', 'fee_payer') THEN 'house'
            WHEN a.kind = 'user' AND transferred >= enough THEN 'available:' || a.user_id
            ELSE 'stray:' || a.address
        END INTO account
        FROM addresses a WHERE a.address = of_address;
        IF account IS NULL THEN
            RAISE EXCEPTION '% is no address of ours', of_address USING ERRCODE = 'check_violation';
        END IF;
        IF EXISTS (SELECT FROM attempts WHERE signature = of_signature) THEN
            RAISE EXCEPTION '% is ours and no deposit', of_signature
                USING ERRCODE = 'check_violation';
        END IF;

        INSERT INTO deposits (signature, address, lamports, other_lamports, slot, owner, final_at)
        VALUES (of_signature, of_address, transferred, other, in_slot, account,
                CASE WHEN is_final THEN now_ms() END)
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

ALTER FUNCTION attempts_fenced SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION begin_epoch SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION post_receipts SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION post_releases SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION undo_deposit SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION post_deposit SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION begin_epoch, post_legs, post_receipts, post_releases, deposit_legs,
    undo_deposit, post_deposit FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION post_entries FROM rooms_custody;
REVOKE INSERT ON deposits FROM rooms_custody;
GRANT EXECUTE ON FUNCTION begin_epoch, post_receipts, post_releases, post_deposit, undo_deposit
    TO rooms_custody;
-- Who is frozen is refused a bet.
GRANT SELECT ON deposits TO rooms_worker;
