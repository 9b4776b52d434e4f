-- singles(feed, at) -> the open rooms of a feed whose watch its log had not passed then, and those
-- that must stay at their target
SELECT id, comparator, move_bps, target, opened_at, lock_at, watch_at, deadline_at, target_wait_ms,
       gap_ms_max, state <> 'OPEN' AS locked, held_ms
FROM rooms
WHERE feed = $1 AND outcome IS NULL AND state <> 'DRAFT'
  AND NOT (state = 'LOCKED' AND watched_at IS NOT NULL AND target IS NOT NULL AND held_ms = 0
           AND watch_at <= $2)
ORDER BY id;

-- packed(feed, at) -> all the others, first those upwards, the nearest target first
SELECT id, comparator, target, watch_at, deadline_at, gap_ms_max
FROM rooms
WHERE feed = $1 AND outcome IS NULL AND state <> 'DRAFT'
  AND state = 'LOCKED' AND watched_at IS NOT NULL AND target IS NOT NULL AND held_ms = 0
  AND watch_at <= $2
ORDER BY comparator DESC, comparator * target, id;

-- overdue(milliseconds) -> open rooms whose deadline passed so long ago
SELECT id, feed, deadline_at
FROM open_rooms
WHERE deadline_at < now_ms() - $1::bigint
ORDER BY deadline_at
LIMIT 10000;
