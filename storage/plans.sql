-- plan_stakes(stakes) -> keys of the transfers that are new
-- From the person's address to the room's vault. After lock no stake is signed anew.
INSERT INTO transfers (key, kind, room_id, user_id, subject_id, from_address, to_address,
                       lamports, sign_by, due_at)
SELECT 'stake:' || s.id, 'stake', s.room_id, s.user_id, s.id, own.address, vault.address,
       s.lamports, r.lock_at, r.cut_at
FROM stakes s
JOIN rooms r ON r.id = s.room_id
JOIN addresses own ON own.user_id = s.user_id
JOIN addresses vault ON vault.room_id = s.room_id
WHERE s.id = ANY ($1::bigint[]) AND s.state = 'HELD'
ORDER BY s.id
ON CONFLICT (key) DO NOTHING
RETURNING key;

-- plan_refunds(stakes) -> keys of the transfers that are new
-- Only of a stake that missed the cut, or that landed in a room whose settlement is a void.
INSERT INTO transfers (key, kind, room_id, user_id, subject_id, from_address, to_address,
                       lamports, due_at)
SELECT 'refund:' || s.id, 'refund', s.room_id, s.user_id, s.id, vault.address, own.address,
       s.lamports, now_ms()
FROM stakes s
JOIN addresses own ON own.user_id = s.user_id
JOIN addresses vault ON vault.room_id = s.room_id
WHERE s.id = ANY ($1::bigint[])
  AND (s.state = 'MISSED'
       OR (s.state = 'LANDED'
           AND EXISTS (SELECT FROM settlements d WHERE d.room_id = s.room_id AND d.outcome = 'VOID')))
ORDER BY s.id
ON CONFLICT (key) DO NOTHING
RETURNING key;

-- plan_payouts(rooms, users, lamports) -> keys of the transfers that are new
-- Only to a person whose bet is on the side that the settlement names.
INSERT INTO transfers (key, kind, room_id, user_id, from_address, to_address, lamports, due_at)
SELECT 'payout:' || w.room_id || ':' || w.user_id, 'payout', w.room_id, w.user_id,
       vault.address, own.address, w.lamports, now_ms()
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY
     AS w (room_id, user_id, lamports, ordinal)
JOIN settlements d ON d.room_id = w.room_id
JOIN bets b ON b.room_id = w.room_id AND b.user_id = w.user_id AND b.side = d.outcome
JOIN addresses own ON own.user_id = w.user_id
JOIN addresses vault ON vault.room_id = w.room_id
ORDER BY w.ordinal
ON CONFLICT (key) DO NOTHING
RETURNING key;

-- plan_shares(rooms) -> keys of the transfers that are new
-- What a settlement leaves for the house and the earners goes to the treasury in one.
INSERT INTO transfers (key, kind, room_id, from_address, to_address, lamports, due_at)
SELECT 'shares:' || d.room_id, 'shares', d.room_id, vault.address, treasury.address,
       d.house + shared.lamports, now_ms()
FROM settlements d
JOIN addresses vault ON vault.room_id = d.room_id
JOIN addresses treasury ON treasury.kind = 'treasury'
CROSS JOIN LATERAL (
    SELECT coalesce(sum((s ->> 1)::bigint), 0)::bigint AS lamports
    FROM jsonb_array_elements(d.shares) s
) shared
WHERE d.room_id = ANY ($1::bigint[]) AND d.house + shared.lamports > 0
ORDER BY d.room_id
ON CONFLICT (key) DO NOTHING
RETURNING key;

-- plan_withdrawals(withdrawals) -> keys of the transfers that are new
INSERT INTO transfers (key, kind, user_id, subject_id, from_address, to_address, lamports, due_at)
SELECT 'withdrawal:' || w.id, 'withdrawal', w.user_id, w.id, own.address, w.to_address,
       w.lamports, w.due_at
FROM withdrawals w
JOIN addresses own ON own.user_id = w.user_id
WHERE w.id = ANY ($1::bigint[]) AND w.state = 'LEAVING'
ORDER BY w.id
ON CONFLICT (key) DO NOTHING
RETURNING key;
