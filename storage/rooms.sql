-- insert_draft(everything that a room's rule holds) -> nothing
INSERT INTO rooms (
    id, creator, feed, scale, comparator, move_bps, target, opened_at, lock_at, cut_at, watch_at,
    deadline_at, target_wait_ms, gap_ms_max, protocol_fee_bps, host_fee_bps, stake_lamports_min,
    stake_lamports_max, seats, volatility_bps, guards, held_ms, is_live, pool_lamports_max, asset,
    asset_decimals
) VALUES (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
    $22, $23, $24, $25, $26
);

-- open(ids) -> rooms, their times counted from now, judged as their feed is judged now
UPDATE rooms r
SET state = 'OPEN',
    opened_at = n.now,
    lock_at = r.lock_at + n.now - r.opened_at,
    cut_at = r.cut_at + n.now - r.opened_at,
    watch_at = r.watch_at + n.now - r.opened_at,
    deadline_at = r.deadline_at + n.now - r.opened_at,
    guards = f.guards
FROM (SELECT now_ms() AS now) n, feeds f
WHERE r.id = ANY ($1::bigint[]) AND r.state = 'DRAFT' AND f.name = r.feed
RETURNING r.*;

-- read(ids) -> rooms
SELECT * FROM rooms WHERE id = ANY ($1::bigint[]) ORDER BY id;

-- lock(ids) -> rooms
SELECT * FROM rooms WHERE id = ANY ($1::bigint[]) ORDER BY id FOR NO KEY UPDATE;

-- vaults(ids) -> room_id and address
SELECT v.room_id, v.address
FROM rooms r JOIN places v ON v.room_id = r.id AND v.asset = r.asset
WHERE r.id = ANY ($1::bigint[]);

-- user_places(users) -> user_id and asset of each place that a person has
SELECT user_id, asset FROM places WHERE user_id = ANY ($1::bigint[]);

-- mark_paid(ids) -> id and paid_at of those of which nothing can move any more
WITH locked AS (
    SELECT id FROM rooms WHERE id = ANY ($1::bigint[]) AND state = 'SETTLED'
    ORDER BY id
    FOR NO KEY UPDATE
)
UPDATE rooms r
SET state = 'PAID', paid_at = now_ms()
FROM locked l
WHERE r.id = l.id
  AND NOT EXISTS (
      SELECT FROM transfers t WHERE t.room_id = r.id AND t.state IN ('PLANNED', 'ATTEMPTED'))
RETURNING r.id, r.paid_at;

-- finished(limit) -> ids of settled rooms of which nothing can move any more
SELECT id FROM rooms r
WHERE r.state = 'SETTLED'
  AND NOT EXISTS (
      SELECT FROM transfers t WHERE t.room_id = r.id AND t.state IN ('PLANNED', 'ATTEMPTED'))
ORDER BY r.settled_at
FOR NO KEY UPDATE SKIP LOCKED
LIMIT $1;
