-- claim(limit, wait, whether it is recorded) -> decided and sealed rooms, the first sealed first
-- None before there is a treasury to send the shares to, and none that a person must look at.
-- Its evidence is waited for so many milliseconds: the last second of its watch, and the segment.
SELECT r.*
FROM rooms r
WHERE r.state = 'DECIDED'
  AND r.sealed_at IS NOT NULL
  AND (coalesce(r.noted_at, 0) <= now_ms() - $2::bigint
       OR ((r.outcome = 'YES'
            OR EXISTS (SELECT FROM feed_seconds s WHERE s.feed = r.feed
                       AND s.second_at >= (r.decided_at - 1) / 1000 * 1000))
           AND (NOT $3::boolean
                OR EXISTS (SELECT FROM segments g
                           WHERE g.feed = r.feed AND g.to_at >= r.decided_at))))
  AND EXISTS (SELECT FROM places t WHERE t.kind = 'treasury' AND t.asset = r.asset)
  AND NOT EXISTS (SELECT FROM set_aside WHERE origin = 'rooms/' || r.id)
ORDER BY r.sealed_at
FOR NO KEY UPDATE OF r SKIP LOCKED
LIMIT $1;

-- stakes(rooms) -> the stakes that count
SELECT s.room_id AS room, s.id, s.bet_id AS bet, s.user_id AS user, s.side, s.lamports,
       s.weight_bps, u.referrer, a.address
FROM stakes s
JOIN users u ON u.id = s.user_id
JOIN rooms r ON r.id = s.room_id
JOIN places a ON a.user_id = s.user_id AND a.asset = r.asset
WHERE s.room_id = ANY ($1::bigint[]) AND s.state = 'LANDED'
ORDER BY s.id;

-- crossings(rooms) -> their evidence
SELECT room_id AS room, evidence FROM crossings WHERE room_id = ANY ($1::bigint[]);

-- now() -> the database's clock
SELECT now_ms();

-- insert(rooms, outcomes, reasons, pools, houses, shares, evidence hashes, at) -> nothing
INSERT INTO settlements (room_id, outcome, void_reason, pool, house, shares, evidence_hash, at)
SELECT *, $8::bigint
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::jsonb[],
            $7::text[]);

-- settled(rooms) -> nothing
-- What the room became is what the pool allowed: no contest is a void, whatever the price did.
UPDATE rooms r
SET state = 'SETTLED', outcome = d.outcome, void_reason = d.void_reason, settled_at = d.at
FROM settlements d
WHERE r.id = ANY ($1::bigint[]) AND d.room_id = r.id;
