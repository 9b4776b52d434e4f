-- Segments: which stretches of which logs were recorded, each under the hash of its content.

-- insert(hash, feed, partition, minute, from, to, first and last offset, messages, missed, file) -> nothing
INSERT INTO segments (hash, feed, partition, minute_at, from_at, to_at, first_offset, last_offset,
                      messages, missed, file)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
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

-- between(feed, from, to) -> the feed's segments that touch this stretch of its log's time, in order
SELECT hash, feed, partition, minute_at, from_at, to_at, first_offset, last_offset, messages,
       missed, file
FROM segments
WHERE feed = $1 AND to_at >= $2 AND from_at <= $3
ORDER BY to_at, first_offset;

-- forget(before) -> nothing
DELETE FROM segments WHERE minute_at < $1;
