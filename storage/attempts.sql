-- Attempts: signings of transfers, from the plan to the receipt.

-- due(limit) -> planned transfers, the nearest cut first, what leaves one room together
SELECT t.id, t.key, t.kind, t.room_id, t.user_id, t.subject_id, t.from_address, t.to_address,
       t.lamports, t.alone, t.refused_count, t.asset, decimals_of(t.asset) AS decimals, s.side, r.outcome, r.void_reason, e.evidence_hash,
       e.outcome AS settled_outcome
FROM transfers t
LEFT JOIN stakes s ON t.kind = 'stake' AND s.id = t.subject_id
LEFT JOIN rooms r ON r.id = t.room_id
LEFT JOIN settlements e ON e.room_id = t.room_id
WHERE t.state = 'PLANNED' AND t.not_before <= now_ms()
  AND (t.sign_by IS NULL OR t.sign_by > now_ms())
  -- A room that is decided takes no stake any more, whenever its lock would have been.
  AND NOT (t.kind = 'stake' AND r.outcome IS NOT NULL)
  -- A floor is taken only from where nothing moves.
  AND NOT (t.kind = 'return' AND quiet_floor(t.from_address) IS DISTINCT FROM t.lamports)
  -- Nothing leaves to an outside address before what it may have come from is final.
  AND NOT (t.kind = 'withdrawal' AND EXISTS (
      SELECT FROM deposits d
      WHERE d.owner = of_asset('available:' || t.user_id, t.asset) AND d.final_at IS NULL AND d.undone_at IS NULL
        AND d.seen_at <= t.planned_at))
  -- What was once planned otherwise than its rows say waits for a person.
  AND NOT EXISTS (SELECT FROM set_aside
                  WHERE origin IN ('signing/room:' || t.room_id, 'signing/' || t.key))
ORDER BY t.due_at, t.room_id, t.id
LIMIT $1;

-- overdue(limit) -> planned transfers that are signed no more: their last moment has passed, their
-- room is decided, something moves where they would take a floor from, or they would take out what
-- a fork took back
SELECT id, kind, room_id, user_id, subject_id, from_address, to_address, lamports, alone,
       refused_count, asset, decimals_of(asset) AS decimals
FROM transfers t
WHERE state = 'PLANNED'
  AND (sign_by <= now_ms()
       OR (kind = 'stake' AND EXISTS (
           SELECT FROM rooms r WHERE r.id = room_id AND r.outcome IS NOT NULL))
       OR (kind = 'return' AND quiet_floor(from_address) IS DISTINCT FROM lamports)
       OR (kind = 'withdrawal' AND EXISTS (
           SELECT FROM deposits d
           WHERE d.owner = of_asset('available:' || t.user_id, t.asset)
             AND d.gone_at IS NOT NULL
             AND d.final_at IS NULL AND d.undone_at IS NULL)))
ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED;

-- hot_wallet(fee payer) -> what lies there and is not on its way, and what may still be signed in
-- this hour
SELECT coalesce((SELECT balance FROM accounts WHERE name = 'chain:' || $1), 0)
       - coalesce((SELECT sum(f.lamports) FROM attempts a JOIN attempt_floors f
                   ON f.attempt_id = a.id WHERE a.state = 'SIGNED'), 0)::bigint AS fee_payer,
       greatest(0, max(l.value - s.lamports)
                   FILTER (WHERE s.name = 'signed_lamports_hour_max')) AS outgoing,
       greatest(0, max(l.value - s.lamports)
                   FILTER (WHERE s.name = 'floor_lamports_hour_max')) AS floors
FROM signed_this_hour s LEFT JOIN withdrawal_limits l ON l.name = s.name;

-- has_settled_memo(room) -> whether the room's settlement memo has landed or still may
SELECT EXISTS (
    SELECT FROM attempts a
    JOIN attempt_transfers l ON l.attempt_id = a.id
    JOIN transfers t ON t.id = l.transfer_id
    WHERE t.room_id = $1 AND a.memo LIKE 'r1 settled %' AND a.state IN ('SIGNED', 'LANDED')
) AS there;

-- floors(addresses) -> what lies under each, laid or on its way, and not on its way back
SELECT a AS address,
       coalesce((SELECT balance FROM accounts WHERE name = 'floor:' || a), 0)
       + coalesce((SELECT sum(f.lamports) FROM attempt_floors f JOIN attempts t ON t.id = f.attempt_id
                   WHERE f.address = a AND t.state = 'SIGNED'), 0)::bigint
       - coalesce((SELECT t.lamports FROM transfers t
                   WHERE t.from_address = a AND t.kind = 'return' AND t.state = 'ATTEMPTED'), 0)
       AS lamports
FROM unnest($1::text[]) a;

-- moving() -> by how much each live attempt may change each address, and all of them together
WITH legs AS (
    SELECT a.id, t.from_address AS address, -t.lamports AS lamports
    FROM attempts a JOIN attempt_transfers l ON l.attempt_id = a.id JOIN transfers t ON t.id = l.transfer_id
    WHERE a.state = 'SIGNED'
    UNION ALL
    SELECT a.id, t.to_address, t.lamports
    FROM attempts a JOIN attempt_transfers l ON l.attempt_id = a.id JOIN transfers t ON t.id = l.transfer_id
    WHERE a.state = 'SIGNED'
    UNION ALL
    SELECT a.id, f.address, f.lamports
    FROM attempts a JOIN attempt_floors f ON f.attempt_id = a.id
    WHERE a.state = 'SIGNED'
), changes AS (
    SELECT address, id, sum(lamports)::bigint AS lamports FROM legs GROUP BY address, id
)
SELECT address, array_agg(lamports ORDER BY id) AS each, sum(lamports)::bigint AS whole
FROM changes GROUP BY address ORDER BY address;

-- insert(signature, raw, last valid height, context slot, fee payer, memo, epoch) -> id, when new
INSERT INTO attempts (signature, raw, last_valid_height, context_slot, fee_payer, memo, epoch)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (signature) DO NOTHING
RETURNING id;

-- link(attempt, transfers) -> nothing
INSERT INTO attempt_transfers (attempt_id, transfer_id)
SELECT $1, unnest($2::bigint[]);

-- link_floors(attempt, addresses, lamports) -> nothing
INSERT INTO attempt_floors (attempt_id, address, lamports)
SELECT $1, a, l FROM unnest($2::text[], $3::bigint[]) t (a, l);

-- take_up(transfers) -> ids of those that were still planned
UPDATE transfers SET state = 'ATTEMPTED' WHERE id = ANY($1::bigint[]) AND state = 'PLANNED'
RETURNING id;

-- lock_planned(transfer) -> the transfer, when nobody has signed it
SELECT id FROM transfers WHERE id = $1 AND state = 'PLANNED' FOR UPDATE;

-- live() -> attempts whose fate is open
SELECT id, signature, raw, last_valid_height, context_slot, sent_at
FROM attempts WHERE state = 'SIGNED' ORDER BY id;

-- begin_sending(attempt) -> the attempt, when it may be sent
UPDATE attempts SET sent_at = coalesce(sent_at, now_ms()) WHERE id = $1 AND state = 'SIGNED'
RETURNING id;

-- lock_unsent(attempt) -> the attempt, when nobody has begun to send it
SELECT id FROM attempts WHERE id = $1 AND state = 'SIGNED' AND sent_at IS NULL FOR UPDATE;

-- lock(attempt) -> the attempt, when its fate is still open
SELECT id, signature, fee_payer FROM attempts WHERE id = $1 AND state = 'SIGNED' FOR UPDATE;

-- transfers_of(attempt) -> its transfers
SELECT t.id, t.key, t.kind, t.room_id, t.user_id, t.subject_id, t.from_address, t.to_address,
       t.lamports, t.alone, t.refused_count, t.asset, decimals_of(t.asset) AS decimals,
       (t.sign_by IS NULL OR t.sign_by > now_ms())
       AND NOT (t.kind = 'stake' AND EXISTS (
           SELECT FROM rooms r WHERE r.id = t.room_id AND r.outcome IS NOT NULL)) AS may_sign
FROM transfers t JOIN attempt_transfers l ON l.transfer_id = t.id
WHERE l.attempt_id = $1 ORDER BY t.id FOR UPDATE OF t;

-- floors_of(attempt) -> the rent minimums that it brings along
SELECT address, lamports FROM attempt_floors WHERE attempt_id = $1 ORDER BY address;

-- finish(attempt, state, slot, block_at, fee, error) -> nothing
UPDATE attempts
SET state = $2, slot = $3, block_at = $4, fee_lamports = $5, error = $6, ended_at = now_ms()
WHERE id = $1;

-- unlink(attempt) -> nothing
UPDATE attempt_transfers SET live = false WHERE attempt_id = $1;

-- land(transfers) -> nothing
UPDATE transfers SET state = 'LANDED', ended_at = now_ms() WHERE id = ANY($1::bigint[]);

-- release(transfers) -> nothing
UPDATE transfers SET state = 'RELEASED', ended_at = now_ms() WHERE id = ANY($1::bigint[]);

-- plan_again(transfers, refused, alone) -> nothing
UPDATE transfers
SET state = 'PLANNED', refused_count = refused_count + $2::int, alone = alone OR $3,
    not_before = CASE WHEN $2::int = 0 THEN 0
                      ELSE now_ms() + least(60000, 250 << least(refused_count, 8)) END
WHERE id = ANY($1::bigint[]);

-- are_ours(signatures) -> those that are attempts of ours, forgotten ones too
SELECT signature FROM attempts WHERE signature = ANY($1::text[])
UNION SELECT signature FROM forgotten WHERE signature = ANY($1::text[]);

-- lock_room(room) -> what a landed stake is judged by
SELECT cut_at, sealed_at, state, outcome FROM rooms WHERE id = $1 FOR UPDATE;

-- land_stake(stake, state, landed_at, slot, signature) -> the stake
UPDATE stakes SET state = $2, landed_at = $3, landed_slot = $4, signature = $5
WHERE id = $1 AND state = 'HELD' RETURNING side;

-- release_stake(stake) -> the stake
UPDATE stakes SET state = 'RELEASED' WHERE id = $1 AND state = 'HELD' RETURNING id;

-- pool(room) -> what has landed on each side in time
SELECT coalesce(sum(lamports) FILTER (WHERE side = 'YES'), 0)::bigint AS yes,
       coalesce(sum(lamports) FILTER (WHERE side = 'NO'), 0)::bigint AS no
FROM stakes WHERE room_id = $1 AND state = 'LANDED';

-- end_withdrawal(withdrawal, state) -> nothing
UPDATE withdrawals SET state = $2 WHERE id = $1;

-- post_receipts(attempts) -> keys of the entries that are new
SELECT post_receipts($1);

-- post_releases(transfers) -> keys of the entries that are new
SELECT post_releases($1);

-- pay_room(room) -> the room, when nothing of it can still move
UPDATE rooms SET state = 'PAID', paid_at = now_ms()
WHERE id = $1 AND state = 'SETTLED'
  AND NOT EXISTS (SELECT FROM transfers
                  WHERE room_id = $1 AND state IN ('PLANNED', 'ATTEMPTED'))
RETURNING id;

-- side_of(stake) -> its side
SELECT side FROM stakes WHERE id = $1;

-- audit_head_told() -> the last row of the audit log that was put on the chain, or is on its way
SELECT coalesce(max(split_part(memo, ' ', 3)::bigint), 0) AS number
FROM attempts WHERE memo LIKE 'r1 audit %' AND state IN ('SIGNED', 'LANDED');
