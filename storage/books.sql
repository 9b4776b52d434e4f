-- Books: what the ledger says lies at every address, and everything that moved it.

-- addresses() -> each address of ours, whose it is, what lies there, and who may claim it
SELECT a.address, a.kind, a.user_id, a.room_id, u.name,
       coalesce(at_chain.balance, 0) AS lamports,
       CASE a.kind
           WHEN 'user' THEN coalesce(own.available, 0) + coalesce(own.held, 0)
           WHEN 'vault' THEN coalesce(room.pool, 0) + coalesce(room.due, 0)
       END + coalesce(beside.floor, 0) + coalesce(beside.stray, 0) AS claimed,
       coalesce(own.available, 0) AS available
FROM addresses a
LEFT JOIN users u ON u.id = a.user_id
LEFT JOIN accounts at_chain ON at_chain.name = 'chain:' || a.address
CROSS JOIN LATERAL (
    SELECT (SELECT balance FROM accounts WHERE name = 'available:' || a.user_id) AS available,
           (SELECT balance FROM accounts WHERE name = 'held:' || a.user_id) AS held
) own
CROSS JOIN LATERAL (
    SELECT (SELECT balance FROM accounts WHERE name = 'pool:' || a.room_id) AS pool,
           (SELECT balance FROM accounts WHERE name = 'due:' || a.room_id) AS due
) room
CROSS JOIN LATERAL (
    SELECT (SELECT balance FROM accounts WHERE name = 'floor:' || a.address) AS floor,
           (SELECT balance FROM accounts WHERE name = 'stray:' || a.address) AS stray
) beside
ORDER BY a.kind, u.name, a.address;

-- operators() -> what treasury and fee payer hold, and what house, earned and their floors say
SELECT coalesce((SELECT sum(c.balance) FROM addresses a
                 JOIN accounts c ON c.name = 'chain:' || a.address
                 WHERE a.kind IN ('treasury', 'fee_payer')), 0)::bigint AS lamports,
       coalesce((SELECT sum(balance) FROM accounts
                 WHERE name = 'house' OR (name LIKE 'earned:%' AND asset = 'SOL')
                    OR name IN (SELECT 'floor:' || address FROM addresses
                                WHERE kind IN ('treasury', 'fee_payer'))), 0)::bigint AS claimed;

-- transactions() -> every transaction on chain of ours or to us, in its order
SELECT signature, slot, what, lamports FROM (
    SELECT a.signature, a.slot, a.memo AS what,
           (SELECT coalesce(sum(t.lamports), 0)
            FROM transfers t JOIN attempt_transfers l ON l.transfer_id = t.id
            WHERE l.attempt_id = a.id)::bigint AS lamports
    FROM attempts a WHERE a.state = 'LANDED'
    UNION ALL
    SELECT d.signature, d.slot, 'deposit to ' || split_part(d.owner, ':', 1), d.lamports
    FROM deposits d
) all_of_them
ORDER BY slot, signature;

-- rooms() -> how each room ended, and whether what left its vault is its pool
SELECT r.id, r.feed, r.state, coalesce(s.outcome, r.outcome) AS outcome,
       coalesce(s.void_reason, r.void_reason) AS void_reason,
       coalesce(s.pool, 0) AS pool,
       coalesce((SELECT sum(t.lamports) FROM transfers t
                 JOIN stakes k ON t.kind = 'refund' AND k.id = t.subject_id AND k.state = 'LANDED'
                 WHERE t.room_id = r.id AND t.state = 'LANDED'), 0)::bigint
       + coalesce((SELECT sum(t.lamports) FROM transfers t
                   WHERE t.room_id = r.id AND t.state = 'LANDED'
                     AND t.kind IN ('payout', 'shares')), 0)::bigint AS left_vault
FROM rooms r LEFT JOIN settlements s ON s.room_id = r.id
WHERE r.state <> 'DRAFT'
ORDER BY r.opened_at;

-- waiting() -> how many transfers have not ended
SELECT count(*) FROM transfers WHERE state IN ('PLANNED', 'ATTEMPTED');
