-- Touch rules, live rooms, what a thin feed allows, and how well a watch was covered.
-- depends: 0003.open_rooms

ALTER TABLE rooms ADD COLUMN held_ms integer NOT NULL DEFAULT 0 CHECK (held_ms >= 0);
ALTER TABLE rooms ADD COLUMN is_live boolean NOT NULL DEFAULT false;
ALTER TABLE rooms ADD COLUMN pool_lamports_max bigint CHECK (pool_lamports_max > 0);

-- A live room is watched while it takes bets, and is cut by what decides it.
ALTER TABLE rooms DROP CONSTRAINT rooms_check1;
ALTER TABLE rooms ADD CONSTRAINT rooms_check1 CHECK (
    CASE WHEN is_live THEN watch_at < deadline_at AND lock_at < deadline_at
         ELSE lock_at < cut_at AND cut_at < watch_at AND watch_at < deadline_at END);

CREATE OR REPLACE VIEW open_rooms AS            -- the table that prices are joined with
    SELECT id, feed, comparator, move_bps, target, opened_at, lock_at, watch_at, deadline_at,
           target_wait_ms, gap_ms_max,
           state <> 'OPEN' AS locked,           -- its lock was told
           held_ms
    FROM rooms
    WHERE outcome IS NULL AND state <> 'DRAFT';

CREATE TABLE coverage (                         -- how much of a decided room's watch had a price
    room_id bigint PRIMARY KEY REFERENCES rooms (id),
    since_at bigint NOT NULL,
    until_at bigint NOT NULL,
    missing_ms bigint NOT NULL CHECK (missing_ms >= 0),
    longest_gap_ms bigint NOT NULL CHECK (longest_gap_ms BETWEEN 0 AND missing_ms)
);

GRANT SELECT ON coverage TO rooms_worker, rooms_bot;
GRANT INSERT ON coverage TO rooms_worker;
GRANT UPDATE (guards) ON rooms TO rooms_worker;

-- A price's evidence names the tick of every source now: who goes on begins with what comes next.
UPDATE feed_seconds s
SET memory = s.memory || '{"price": null}'
FROM (SELECT feed, max(second_at) AS second_at FROM feed_seconds GROUP BY feed) newest
WHERE s.feed = newest.feed AND s.second_at = newest.second_at;
