-- take_turn() -> nothing
-- One worker judges at a time: whoever asked first is judged first.
SELECT pg_advisory_xact_lock(hashtext('rooms.withdrawals'));

-- claim_asked(limit) -> withdrawals in the order of asking
SELECT id, user_id AS user, to_address, lamports
FROM withdrawals
WHERE state = 'ASKED'
ORDER BY id
FOR UPDATE SKIP LOCKED
LIMIT $1;

-- histories(ids) -> what each person took out lately, since when the address is known, whose it is
SELECT w.id,
       now_ms() AS now,
       (SELECT coalesce(sum(p.lamports), 0)::bigint FROM withdrawals p
        WHERE p.user_id = w.user_id AND p.state IN ('WAITING', 'LEAVING', 'PAID')
          AND p.asked_at > now_ms() - $2::bigint) AS taken_today,
       coalesce((SELECT min(p.asked_at) FROM withdrawals p
                 WHERE p.user_id = w.user_id AND p.to_address = w.to_address
                   AND p.state NOT IN ('ASKED', 'REFUSED')), w.asked_at) AS address_since,
       EXISTS (SELECT FROM addresses a WHERE a.address = w.to_address) AS is_ours,
       EXISTS (SELECT FROM addresses a WHERE a.user_id = w.user_id) AS has_address
FROM withdrawals w
WHERE w.id = ANY ($1::bigint[]);

-- accept(ids, due at) -> nothing
UPDATE withdrawals w
SET state = 'WAITING', due_at = a.due_at
FROM unnest($1::bigint[], $2::bigint[]) AS a (id, due_at)
WHERE w.id = a.id;

-- refuse(ids, refusals) -> nothing
UPDATE withdrawals w
SET state = 'REFUSED', refusal = a.refusal
FROM unnest($1::bigint[], $2::jsonb[]) AS a (id, refusal)
WHERE w.id = a.id;

-- claim_due(limit) -> ids of withdrawals that may leave now
SELECT id
FROM withdrawals
WHERE state = 'WAITING' AND due_at <= now_ms()
ORDER BY id
FOR UPDATE SKIP LOCKED
LIMIT $1;

-- leave(ids) -> nothing
UPDATE withdrawals SET state = 'LEAVING' WHERE id = ANY ($1::bigint[]);
