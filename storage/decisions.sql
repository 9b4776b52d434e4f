-- lock(rooms) -> ids of those that were open
WITH due AS (
    SELECT id FROM rooms
    WHERE id = ANY ($1::bigint[]) AND state = 'OPEN'
    ORDER BY id
    FOR NO KEY UPDATE
)
UPDATE rooms r SET state = 'LOCKED' FROM due WHERE r.id = due.id RETURNING r.id;

-- fix_target(room, at, target, base) -> whether it was fixed now
UPDATE rooms
SET target = $3, base = $4, watched_at = $2
WHERE id = $1 AND target IS NULL AND outcome IS NULL
RETURNING true;

-- fixed_target(room) -> target and outcome as they stand
SELECT target, outcome FROM rooms WHERE id = $1;

-- watch(rooms, at) -> ids of those whose watch had not been told
WITH due AS (
    SELECT r.id, t.at
    FROM rooms r JOIN unnest($1::bigint[], $2::bigint[]) AS t (id, at) USING (id)
    WHERE r.watched_at IS NULL AND r.outcome IS NULL
    ORDER BY r.id
    FOR NO KEY UPDATE OF r
)
UPDATE rooms r SET watched_at = due.at FROM due WHERE r.id = due.id RETURNING r.id;

-- decide(rooms, outcomes, reasons, at) -> id and former state of those that were not decided
-- A room that ends before its cut is cut where it ends: bets stop, and the seal need not wait.
WITH asked AS (
    SELECT id, outcome, reason, at
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[]) AS t (id, outcome, reason, at)
), due AS (
    SELECT r.id, r.state,
           CASE WHEN a.at < r.cut_at THEN greatest(r.opened_at + 1, least(r.lock_at, a.at))
                ELSE r.lock_at END AS lock_at
    FROM rooms r JOIN asked a USING (id)
    WHERE r.outcome IS NULL AND r.state <> 'DRAFT'
    ORDER BY r.id
    FOR NO KEY UPDATE OF r
)
UPDATE rooms r
SET outcome = a.outcome,
    void_reason = a.reason,
    decided_at = a.at,
    state = 'DECIDED',
    lock_at = due.lock_at,
    cut_at = greatest(due.lock_at + 1, least(r.cut_at, a.at))
FROM asked a JOIN due USING (id)
WHERE r.id = a.id
RETURNING r.id, due.state;
