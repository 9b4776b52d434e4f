-- take_turn() -> nothing
-- One worker judges at a time: whoever asked first is judged first.
SELECT pg_advisory_xact_lock(hashtext('rooms.withdrawals'));

-- claim_asked(limit) -> withdrawals in the order of asking
SELECT id, user_id AS user, to_address, lamports, cancel_asked_at IS NOT NULL AS cancelled,
       asset, decimals_of(asset) AS decimals
FROM withdrawals
WHERE state = 'ASKED'
ORDER BY id
FOR UPDATE SKIP LOCKED
LIMIT $1;

-- accept(ids, due at) -> nothing
UPDATE withdrawals w
SET state = 'WAITING', due_at = a.due_at
FROM unnest($1::bigint[], $2::bigint[]) AS a (id, due_at)
WHERE w.id = a.id;

-- refuse(ids, refusals) -> nothing
UPDATE withdrawals w
SET state = 'REFUSED', refusal = a.refusal
FROM unnest($1::bigint[], $2::jsonb[]) AS a (id, refusal)
WHERE w.id = a.id;

-- claim_due(limit) -> ids of withdrawals that may leave now, in their order
-- No more than the place's limits still let leave: the first that does not fit waits, and whatever
-- comes after it, so that nobody is overtaken for ever.
WITH due AS MATERIALIZED (
    SELECT id, due_at, lamports, asset
    FROM withdrawals w
    WHERE state = 'WAITING' AND due_at <= now_ms() AND cancel_asked_at IS NULL
    ORDER BY due_at, id
    FOR UPDATE
    LIMIT $1
), may_leave AS (
    SELECT k.asset, min(l.value - coalesce(gone.lamports, 0)) AS lamports
    FROM (SELECT DISTINCT asset FROM due) k
    CROSS JOIN (VALUES ('all_lamports_hour_max', 3600000), ('all_lamports_day_max', 86400000))
        AS s (name, span_ms)
    JOIN withdrawal_limits l
        ON l.name = CASE k.asset WHEN 'SOL' THEN s.name ELSE k.asset || ':' || s.name END
    CROSS JOIN LATERAL (
        SELECT sum(w.lamports) AS lamports FROM withdrawals w
        WHERE w.state IN ('LEAVING', 'PAID') AND w.left_at > now_ms() - s.span_ms
          AND w.asset = k.asset
    ) gone
    GROUP BY k.asset
)
SELECT d.id
FROM (SELECT id, due_at, asset,
             sum(lamports) OVER (PARTITION BY asset ORDER BY due_at, id) AS upto
      FROM due) d
JOIN may_leave m USING (asset)
WHERE d.upto <= m.lamports
ORDER BY d.due_at, d.id;

-- leave(ids) -> nothing
UPDATE withdrawals SET state = 'LEAVING' WHERE id = ANY ($1::bigint[]);

-- claim_cancelled(limit) -> withdrawals that wait and whose owners want them back
SELECT id, user_id AS user, to_address, lamports, true AS cancelled, asset,
       decimals_of(asset) AS decimals
FROM withdrawals
WHERE state = 'WAITING' AND cancel_asked_at IS NOT NULL
ORDER BY id
FOR UPDATE SKIP LOCKED
LIMIT $1;

-- call_off(ids) -> nothing
UPDATE withdrawals SET state = 'RELEASED' WHERE id = ANY ($1::bigint[]);
