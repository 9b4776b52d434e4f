-- claim(limit) -> requests that nobody has looked at, with their feeds
SELECT q.id, q.creator, q.request, f.name, f.unit, f.scale, f.symbols, f.volatility_bps, f.guards,
       f.price, f.supply, f.liquidity, f.meaning, f.offered, f.expression, f.inputs,
       now_ms() AS now
FROM room_requests q
JOIN feeds f ON f.name = q.feed
WHERE q.done_at IS NULL AND q.room_id IS NULL
ORDER BY q.id
FOR UPDATE OF q SKIP LOCKED
LIMIT $1;

-- drafted(request, room) -> nothing
UPDATE room_requests SET room_id = $2 WHERE id = $1;

-- refuse(request, refusal) -> nothing
UPDATE room_requests SET done_at = now_ms(), refusal = $2 WHERE id = $1;

-- opened(requests) -> nothing
UPDATE room_requests SET done_at = now_ms() WHERE id = ANY ($1::bigint[]);

-- claim_drafts(warm milliseconds, milliseconds that a draft waits, limit) -> drafts to judge
-- Those with a vault on a feed that has had an index price for so long, and those that have
-- waited too long. A second counts when it ended with a price.
SELECT q.id AS request_id, r.id AS room_id, r.creator, r.comparator, r.move_bps, r.target,
       s.last, v.address IS NOT NULL AND coalesce(s.warm, false) AS ready, now_ms() AS now
FROM room_requests q
JOIN rooms r ON r.id = q.room_id AND r.state = 'DRAFT'
LEFT JOIN places v ON v.room_id = r.id AND v.asset = r.asset
LEFT JOIN LATERAL (
    SELECT newest.last,
           newest.last IS NOT NULL
           AND newest.second_at > now_ms() - 5000
           AND (SELECT count(*) FROM feed_seconds f
                WHERE f.feed = r.feed
                  AND f.second_at > newest.second_at - $1::bigint
                  AND f.second_at <= newest.second_at
                  AND f.last IS NOT NULL) >= $1::bigint / 1000 AS warm
    FROM feed_seconds newest
    WHERE newest.feed = r.feed
    ORDER BY newest.second_at DESC
    LIMIT 1
) s ON true
WHERE q.done_at IS NULL
  AND (v.address IS NOT NULL AND s.warm OR r.opened_at <= now_ms() - $2::bigint)
ORDER BY r.id
FOR NO KEY UPDATE OF q, r SKIP LOCKED
LIMIT $3;
