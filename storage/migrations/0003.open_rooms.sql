-- Whoever takes a feed over knows which rooms' lock was told before.
-- depends: 0002.roles

CREATE OR REPLACE VIEW open_rooms AS            -- the table that prices are joined with
    SELECT id, feed, comparator, move_bps, target, opened_at, lock_at, watch_at, deadline_at,
           target_wait_ms, gap_ms_max,
           state <> 'OPEN' AS locked            -- its lock was told
    FROM rooms
    WHERE outcome IS NULL AND state <> 'DRAFT';
