-- Floors come back to the operator, and what people earned goes to them.
-- depends: 0122.hour_limits 0140.assets 0161.returned_fees

ALTER TABLE transfers DROP CONSTRAINT transfers_kind_check;
ALTER TABLE transfers ADD CONSTRAINT transfers_kind_check
    CHECK (kind IN ('stake', 'payout', 'refund', 'shares', 'withdrawal', 'return', 'earning'));

-- At most one on its way: two could take more than the floor, or more than was earned.
CREATE UNIQUE INDEX transfers_one_return ON transfers (from_address)
    WHERE kind = 'return' AND state IN ('PLANNED', 'ATTEMPTED');
CREATE UNIQUE INDEX transfers_one_earning ON transfers (user_id)
    WHERE kind = 'earning' AND state IN ('PLANNED', 'ATTEMPTED');

-- As before, and two kinds more.
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
ALTER FUNCTION post_receipts SECURITY DEFINER SET search_path = public, pg_temp;

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
