-- Restores: what an old database has forgotten and the chain has not.

-- begin(reason, who) -> whether none was open; everything is closed then
SELECT begin_restore($1, $2);

-- state() -> the restore that is open: whether the whole history was read for it
SELECT id, read_at IS NOT NULL AS is_read FROM restores WHERE done_at IS NULL;

-- last() -> the restore that began last
SELECT reason, begun_at, read_at, done_at FROM restores ORDER BY id DESC LIMIT 1;

-- has_read() -> nothing
UPDATE restores SET read_at = now_ms() WHERE done_at IS NULL;

-- end() -> nothing
UPDATE restores SET done_at = now_ms() WHERE done_at IS NULL;

-- remember(signature, slot, block_at, memo) -> nothing
INSERT INTO forgotten (signature, slot, block_at, memo) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING;

-- waiting() -> what is not placed yet, in the order of the chain
SELECT signature, memo, waits_for FROM forgotten WHERE placed_at IS NULL
ORDER BY slot, found_at, signature;

-- placed(signature) -> nothing
UPDATE forgotten SET placed_at = now_ms(), waits_for = NULL WHERE signature = $1;

-- waits(signature, why) -> nothing
UPDATE forgotten SET waits_for = $2 WHERE signature = $1;

-- planned(from, to, lamports, kinds, taken) -> a transfer of just this that nobody has landed
SELECT id, state FROM transfers
WHERE from_address = $1 AND to_address = $2 AND lamports = $3 AND kind = ANY ($4::text[])
  AND state IN ('PLANNED', 'ATTEMPTED') AND id <> ALL ($5::bigint[])
ORDER BY state DESC, id LIMIT 1;

-- room(signature, room, vault, asset) -> nothing
SELECT restore_room($1, $2, $3, $4);

-- stake(signature, stake, from, vault, side, lamports) -> nothing
SELECT restore_stake($1, $2, $3, $4, $5, $6);

-- withdrawal(signature, withdrawal, from, to, lamports) -> nothing
SELECT restore_withdrawal($1, $2, $3, $4, $5);

-- return(signature, from, lamports) -> nothing
SELECT restore_return($1, $2, $3);

-- earning(signature, to, lamports) -> nothing
SELECT restore_earning($1, $2, $3);

-- outcome(signature, room, outcome) -> nothing
SELECT restore_outcome($1, $2, $3);

-- holds_seals() -> whether a stake is not placed yet, so that no pool is whole
SELECT EXISTS (SELECT FROM restores WHERE done_at IS NULL AND read_at IS NULL)
    OR EXISTS (SELECT FROM forgotten
               WHERE placed_at IS NULL AND starts_with(memo, 'r1 stake ')) AS held;

-- is_attempt_open() -> whether the fate of any is open
SELECT EXISTS (SELECT FROM attempts WHERE state = 'SIGNED') AS open;
