-- store(feed, second, low, high, last, changes, silence, position, memory) -> nothing
INSERT INTO feed_seconds
    (feed, second_at, low, high, last, changes, silence, log_position, memory)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (feed, second_at) DO UPDATE
SET low = EXCLUDED.low,
    high = EXCLUDED.high,
    last = EXCLUDED.last,
    changes = EXCLUDED.changes,
    silence = EXCLUDED.silence,
    log_position = EXCLUDED.log_position,
    memory = EXCLUDED.memory;

-- newest(feeds) -> the last row of each feed that has one
SELECT s.feed, s.log_position, s.memory
FROM unnest($1::text[]) AS f (name)
CROSS JOIN LATERAL (
    SELECT feed, log_position, memory
    FROM feed_seconds
    WHERE feed = f.name
    ORDER BY second_at DESC
    LIMIT 1
) s;

-- warm(feed, milliseconds) -> whether every second of that time until now ended with an index price
-- The second that runs now has no row yet, and the one before may still be on its way.
SELECT count(last) >= $2::bigint / 1000
   AND count(*) FILTER (WHERE last IS NULL OR silence IS NOT NULL) = 0
FROM feed_seconds
WHERE feed = $1
  AND second_at > now_ms() - 2000 - $2::bigint - 1000
  AND second_at <= now_ms();

-- needed_since(milliseconds kept) -> each feed, and since when its seconds are needed
-- Those of a room that is not paid yet are, and of so long before it opened.
SELECT f.name AS feed,
       least(now_ms(), (SELECT min(r.opened_at)
                        FROM rooms r
                        WHERE r.feed = f.name AND r.state NOT IN ('DRAFT', 'PAID')))
           - $1::bigint AS since
FROM feeds f;

-- delete_before(feed, since, limit) -> seconds that were deleted; never a feed's newest
DELETE FROM feed_seconds
WHERE feed = $1 AND second_at IN (
    SELECT second_at
    FROM feed_seconds
    WHERE feed = $1
      AND second_at < $2
      AND second_at < (SELECT max(second_at) FROM feed_seconds WHERE feed = $1)
    ORDER BY second_at
    FOR UPDATE SKIP LOCKED
    LIMIT $3
)
RETURNING second_at;

-- memory_at(feed, position, second) -> what was stored before that second, after that message
SELECT memory
FROM (
    SELECT memory, log_position FROM feed_seconds
    WHERE feed = $1 AND second_at < $3
    ORDER BY second_at DESC LIMIT 1
) s
WHERE log_position = $2;

-- between(feed, from, to) -> its seconds that begin in this stretch, in order, without their memory
SELECT second_at, low, high, last, changes, silence, log_position
FROM feed_seconds
WHERE feed = $1 AND second_at >= $2 AND second_at <= $3
ORDER BY second_at;
