-- Segments: which stretches of which logs were recorded, each under the hash of its content.

-- insert(hash, feed, partition, minute, from, to, first and last offset, messages, missed, file, warm) -> nothing
INSERT INTO segments (hash, feed, partition, minute_at, from_at, to_at, first_offset, last_offset,
                      messages, missed, file, is_warm)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (hash) DO NOTHING;

-- newest() -> the last segment of each feed that has one
SELECT s.feed, s.partition, s.to_at, s.last_offset
FROM feeds f
CROSS JOIN LATERAL (
    SELECT feed, partition, to_at, last_offset
    FROM segments
    WHERE feed = f.name
    ORDER BY to_at DESC, last_offset DESC
    LIMIT 1
) s;

-- of_stretch(feed, from, to) -> the segments in which a stretch of a feed's log lies, in order
-- They begin where a replay may begin, when there is such a place.
SELECT hash, from_at, to_at, first_offset, last_offset
FROM segments
WHERE feed = $1 AND from_at <= $3
  AND to_at >= coalesce((SELECT max(to_at) FROM segments
                         WHERE feed = $1 AND is_warm AND from_at <= $2), $2)
ORDER BY to_at, first_offset;

-- forget(before) -> nothing
DELETE FROM segments WHERE minute_at < $1;

-- awaited() -> feeds with rooms that are decided, and up to when their log must be recorded
-- A second that is not over is told only at its end.
SELECT r.feed,
       max(CASE r.outcome WHEN 'YES' THEN r.decided_at
           ELSE (r.decided_at + 999) / 1000 * 1000 END) AS until_at
FROM rooms r
WHERE r.state = 'DECIDED'
  AND NOT EXISTS (SELECT FROM segments s WHERE s.feed = r.feed AND s.to_at >= r.decided_at)
GROUP BY r.feed;
