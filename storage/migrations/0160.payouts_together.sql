-- Everything that a settlement plans is due when its room was settled, and so travels together: a
-- transaction for the shares alone costs as much as one for sixty payouts.
-- depends: 0140.assets

CREATE OR REPLACE FUNCTION plan_payouts(rooms bigint[], users bigint[], amounts bigint[]) RETURNS SETOF text
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

CREATE OR REPLACE FUNCTION plan_shares(rooms bigint[]) RETURNS SETOF text
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

ALTER FUNCTION plan_payouts SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION plan_shares SECURITY DEFINER SET search_path = public, pg_temp;
