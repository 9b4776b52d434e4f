-- of_feeds(feeds) -> the open rooms of these feeds, and whether their lock was told
SELECT id, feed, comparator, move_bps, target, opened_at, lock_at, watch_at, deadline_at,
       target_wait_ms, gap_ms_max, held_ms, locked
FROM open_rooms
WHERE feed = ANY ($1::text[])
ORDER BY id;

-- overdue(milliseconds) -> open rooms whose deadline passed so long ago
SELECT id, feed, deadline_at
FROM open_rooms
WHERE deadline_at < now_ms() - $1::bigint
ORDER BY deadline_at
LIMIT 10000;
