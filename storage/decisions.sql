-- lock(rooms) -> ids of those that were open
WITH due AS (
    SELECT id FROM rooms
    WHERE id = ANY ($1::bigint[]) AND state = 'OPEN'
    ORDER BY id
    FOR NO KEY UPDATE
)
UPDATE rooms r SET state = 'LOCKED' FROM due WHERE r.id = due.id RETURNING r.id;

-- fix_target(room, at, target, base, its evidence) -> whether it was fixed now
UPDATE rooms
SET target = $3, base = $4, watched_at = $2, base_evidence = $5
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

-- decide(rooms, outcomes, reasons, at, touched at, live cut) -> id, former state of the undecided
-- A room that ends before its cut is cut where it ends: bets stop, and the seal need not wait.
-- A live room is cut so long before the touch that no stake can have known of it.
WITH asked AS (
    SELECT id, outcome, reason, at, touched_at
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
         AS t (id, outcome, reason, at, touched_at)
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
    noted_at = now_ms(),
    lock_at = due.lock_at,
    cut_at = CASE WHEN r.is_live AND a.touched_at IS NOT NULL
                  THEN greatest(r.opened_at, least(r.cut_at, a.touched_at - $6::bigint))
                  ELSE greatest(due.lock_at + 1, least(r.cut_at, a.at)) END
FROM asked a JOIN due USING (id)
WHERE r.id = a.id
RETURNING r.id, due.state;

-- cover(rooms, since, until, missing milliseconds, longest gaps) -> nothing
INSERT INTO coverage (room_id, since_at, until_at, missing_ms, longest_gap_ms)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]);

-- ranges(rooms) -> where prices were between the first watch of some rooms and their deadline
SELECT d.feed, d.deadline_at, min(s.low) AS low, max(s.high) AS high
FROM (SELECT feed, deadline_at, min(watch_at) AS watch_at
      FROM rooms WHERE id = ANY ($1::bigint[]) AND target IS NOT NULL
      GROUP BY feed, deadline_at) d
JOIN feed_seconds s ON s.feed = d.feed AND s.second_at >= d.watch_at
                   AND s.second_at <= d.deadline_at - 1000
GROUP BY d.feed, d.deadline_at;

-- within(rooms, feeds, deadlines, lows, highs) -> those whose target lies in the range of its feed
SELECT r.id
FROM rooms r
JOIN unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[]) AS t (feed, deadline_at, low, high)
    USING (feed, deadline_at)
WHERE r.id = ANY ($1::bigint[])
  AND CASE r.comparator WHEN 1 THEN t.high >= r.target ELSE t.low <= r.target END;

-- touched(rooms) -> those whose target was reached in stored seconds of the watch, and stayed so
--   where it must: then every second of that time ended with a price and lay past the target
-- A move is watched from the price that fixed its target: what came before reached nothing.
SELECT r.id
FROM rooms r
WHERE r.id = ANY ($1::bigint[])
  AND EXISTS (
    SELECT FROM feed_seconds s
    WHERE s.feed = r.feed AND s.second_at >= greatest(r.watch_at, r.watched_at)
      AND s.second_at <= r.deadline_at - 1000
      AND CASE r.comparator WHEN 1 THEN s.high >= r.target ELSE s.low <= r.target END
      AND (r.held_ms = 0
           OR (SELECT count(*) FROM feed_seconds h
               WHERE h.feed = r.feed AND h.second_at >= s.second_at
                 AND h.second_at <= least(s.second_at + r.held_ms, r.deadline_at - 1000)
                 AND h.last IS NOT NULL
                 AND CASE r.comparator WHEN 1 THEN h.low >= r.target ELSE h.high <= r.target END
              ) > r.held_ms / 1000));
