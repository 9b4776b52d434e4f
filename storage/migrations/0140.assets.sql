-- A second asset: a token that the operator allows, counted beside SOL and never with it.

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

ALTER TABLE rooms ADD COLUMN asset text NOT NULL DEFAULT 'SOL';
ALTER TABLE rooms ADD COLUMN asset_decimals smallint NOT NULL DEFAULT 9;
ALTER TABLE withdrawals ADD COLUMN asset text NOT NULL DEFAULT 'SOL';
ALTER TABLE transfers ADD COLUMN asset text NOT NULL DEFAULT 'SOL';
ALTER TABLE deposits ADD COLUMN asset text NOT NULL DEFAULT 'SOL';
ALTER TABLE deposits DROP CONSTRAINT deposits_address_fkey;
ALTER TABLE accounts ADD COLUMN asset text GENERATED ALWAYS AS (
    CASE WHEN strpos(name, '@') = 0 THEN 'SOL' ELSE split_part(name, '@', 2) END) STORED;

CREATE OR REPLACE FUNCTION entry_balances() RETURNS trigger
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

-- What a person asks for is held against the person's and the address's limits when it is allowed,
-- what leaves against the limits of the place when it leaves; one at a time, whoever writes.
CREATE OR REPLACE FUNCTION withdrawals_within_limits() RETURNS trigger
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

-- post_receipts(attempts) -> keys of the entries that are new
-- The one way in which a fate becomes money. An attempt that is in a finalized block paid its fee;
-- one without an error laid its floors and moved its transfers, each as it was planned.
CREATE OR REPLACE FUNCTION post_receipts(ended bigint[]) RETURNS SETOF text
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
            ) AS leg (account, lamports)
        )
        SELECT post_legs(jsonb_agg(jsonb_build_array(key, account, lamports) ORDER BY stage, id))
        FROM legs HAVING count(*) > 0;
    END $$;

-- post_releases(transfers) -> keys of the entries that are new
-- Gives back what was held for a stake or a withdrawal that never moved and never will.
CREATE OR REPLACE FUNCTION post_releases(released bigint[]) RETURNS SETOF text
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
CREATE OR REPLACE FUNCTION deposit_legs(d deposits, prefix text, sign integer) RETURNS jsonb
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
CREATE OR REPLACE FUNCTION undo_deposit(of_signature text, of_address text) RETURNS boolean
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
CREATE OR REPLACE FUNCTION post_deposit(
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

-- restore_stake(signature, stake, from, vault, side, lamports) -> nothing
CREATE OR REPLACE FUNCTION restore_stake(
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
CREATE OR REPLACE FUNCTION restore_withdrawal(
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

-- plan_stakes(stakes) -> keys of the transfers that are new
-- From the person's address to the room's vault. After lock no stake is signed anew.
CREATE OR REPLACE FUNCTION plan_stakes(stakes bigint[]) RETURNS SETOF text
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
CREATE OR REPLACE FUNCTION plan_refunds(stakes bigint[]) RETURNS SETOF text
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
CREATE OR REPLACE FUNCTION plan_payouts(rooms bigint[], users bigint[], amounts bigint[]) RETURNS SETOF text
    LANGUAGE sql
    AS $$
        INSERT INTO transfers (key, kind, room_id, user_id, from_address, to_address, lamports,
                               due_at, asset)
        SELECT 'payout:' || w.room_id || ':' || w.user_id, 'payout', w.room_id, w.user_id,
               vault.address, own.address, w.lamports, now_ms(), r.asset
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
CREATE OR REPLACE FUNCTION plan_shares(rooms bigint[]) RETURNS SETOF text
    LANGUAGE sql
    AS $$
        INSERT INTO transfers (key, kind, room_id, from_address, to_address, lamports, due_at,
                               asset)
        SELECT 'shares:' || d.room_id, 'shares', d.room_id, vault.address, treasury.address,
               d.house + shared.lamports, now_ms(), r.asset
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
CREATE OR REPLACE FUNCTION plan_withdrawals(withdrawals bigint[]) RETURNS SETOF text
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

-- miss_late_stakes(room) -> stakes that landed in a live room after what became its cut
-- A live room is cut by its touch: such a stake is not in the pool, and goes back in full.
CREATE OR REPLACE FUNCTION miss_late_stakes(room bigint)
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

DROP FUNCTION restore_room(text, bigint, text);

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

ALTER FUNCTION post_receipts SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION post_releases SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION undo_deposit SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION post_deposit SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION restore_stake SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION restore_withdrawal SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION restore_room SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION plan_stakes SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION plan_refunds SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION plan_payouts SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION plan_shares SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION plan_withdrawals SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION miss_late_stakes SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION restore_room FROM PUBLIC;
GRANT EXECUTE ON FUNCTION restore_room TO rooms_custody;

-- tokens: custody writes them and where ours keep them; the view reads both with its owner's rights.
GRANT SELECT ON tokens, places TO rooms_worker, rooms_custody, rooms_bot;
GRANT SELECT, INSERT ON token_accounts TO rooms_custody;
GRANT SELECT ON token_accounts TO rooms_worker, rooms_bot;
GRANT INSERT ON tokens TO rooms_custody;
GRANT INSERT (asset) ON withdrawals TO rooms_bot;
