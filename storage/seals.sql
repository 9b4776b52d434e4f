-- Seals: pools written down once, for good.

-- due(moment) -> rooms whose cut the finalized chain has passed and of which no stake is open
SELECT r.id FROM rooms r
WHERE r.sealed_at IS NULL AND r.state <> 'DRAFT' AND r.cut_at < $1
  AND NOT EXISTS (SELECT FROM stakes s WHERE s.room_id = r.id AND s.state = 'HELD')
ORDER BY r.cut_at LIMIT 100;

-- lock(room) -> the room, when it is still to be sealed
SELECT id, feed, creator, cut_at, outcome FROM rooms
WHERE id = $1 AND sealed_at IS NULL AND cut_at < $2 FOR UPDATE;

-- is_open(room) -> whether a stake has no fate yet
SELECT EXISTS (SELECT FROM stakes WHERE room_id = $1 AND state = 'HELD') AS is_open;

-- miss_late(room) -> stakes that landed in a live room after what became its cut
SELECT stake_id, owner_id, amount FROM miss_late_stakes($1);

-- stakes(room) -> the stakes that count
SELECT s.id, s.bet_id, s.user_id, s.side, s.lamports, s.weight_bps, u.referrer
FROM stakes s JOIN users u ON u.id = s.user_id
WHERE s.room_id = $1 AND s.state = 'LANDED' ORDER BY s.id;

-- seal(room, slot, yes, no) -> nothing
UPDATE rooms
SET sealed_at = now_ms(), sealed_slot = $2, sealed_yes = $3, sealed_no = $4,
    state = CASE WHEN state = 'OPEN' THEN 'LOCKED' ELSE state END
WHERE id = $1;

-- void(room, reason, at) -> nothing
UPDATE rooms SET state = 'DECIDED', outcome = 'VOID', void_reason = $2, decided_at = $3
WHERE id = $1 AND outcome IS NULL;

-- any_waiting() -> whether a room's cut is near or past; the chain's clock may be ahead of ours
SELECT EXISTS (SELECT FROM rooms
               WHERE sealed_at IS NULL AND state <> 'DRAFT' AND cut_at < now_ms() + 60000) AS waiting;
