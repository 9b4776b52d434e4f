-- Deposits: lamports that came in from outside.

-- insert(signature, address, lamports, slot, owner) -> the signature, when it is new
INSERT INTO deposits (signature, address, lamports, slot, owner) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING RETURNING signature;

-- cursors() -> how far each address was read
SELECT name, position FROM cursors WHERE name LIKE 'deposits:%';

-- move(name, position) -> nothing
INSERT INTO cursors (name, position) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE
SET position = excluded.position, stopped_reason = NULL, moved_at = now_ms();

-- stop(name, reason) -> nothing
INSERT INTO cursors (name, position, stopped_reason) VALUES ($1, '', $2)
ON CONFLICT (name) DO UPDATE SET stopped_reason = excluded.stopped_reason, moved_at = now_ms();
