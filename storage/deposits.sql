-- Deposits: lamports that came in from outside.

-- post(signature, address, lamports, other lamports, slot, final, enough) -> what it is now
SELECT post_deposit($1, $2, $3, $4, $5, $6, $7);

-- undo(signature, address) -> whether it is undone
SELECT undo_deposit($1, $2);

-- not_final() -> posted deposits that a fork can still take back, with the person's id
SELECT d.signature, d.address, d.slot, d.lamports, d.gone_at IS NOT NULL AS gone, a.user_id,
       d.asset, decimals_of(d.asset) AS decimals
FROM deposits d JOIN places a ON a.address = d.address
WHERE d.final_at IS NULL AND d.undone_at IS NULL;

-- cursors() -> how far each address was read
SELECT name, position FROM cursors WHERE name LIKE 'deposits:%';

-- cursors_of(names) -> how far these addresses were read
SELECT name, position FROM cursors WHERE name = ANY ($1::text[]);

-- final_of(address) -> signature and slot of each deposit that is posted for good
SELECT signature, slot FROM deposits
WHERE address = $1 AND final_at IS NOT NULL AND undone_at IS NULL;

-- until_rescan(milliseconds) -> how long until every history is to be read again
SELECT greatest(0, coalesce((SELECT moved_at FROM cursors WHERE name = 'rescan'), 0)
                   + $1::bigint - now_ms());

-- rescanned() -> nothing
INSERT INTO cursors (name, position) VALUES ('rescan', '')
ON CONFLICT (name) DO UPDATE SET moved_at = now_ms();

-- move(name, position) -> nothing
INSERT INTO cursors (name, position) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE
SET position = excluded.position, stopped_reason = NULL, moved_at = now_ms();

-- stop(name, reason) -> nothing
INSERT INTO cursors (name, position, stopped_reason) VALUES ($1, '', $2)
ON CONFLICT (name) DO UPDATE SET stopped_reason = excluded.stopped_reason, moved_at = now_ms();
