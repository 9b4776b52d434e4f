-- Health: what an operator asks of the database, all of it read only.

-- counts() -> what waits, and what a person has to look at
SELECT (SELECT count(*) FROM outbox WHERE sent_at IS NULL) AS unsent,
       (SELECT count(*) FROM set_aside) AS set_aside,
       (SELECT count(*) FROM attempts WHERE state = 'SIGNED') AS live_attempts,
       (SELECT count(*) FROM rooms WHERE state NOT IN ('PAID', 'DRAFT')) AS rooms_not_paid;

-- stopped() -> addresses whose history is read no further, each with its reason
SELECT substr(name, length('deposits:') + 1) AS address, stopped_reason AS why
FROM cursors WHERE name LIKE 'deposits:%' AND stopped_reason IS NOT NULL ORDER BY name;

-- fee_payer() -> its address and what the ledger says lies there
SELECT a.address, coalesce(c.balance, 0) AS lamports
FROM addresses a LEFT JOIN accounts c ON c.name = 'chain:' || a.address
WHERE a.kind = 'fee_payer';

-- books() -> the sum of each book
SELECT coalesce(sum(balance) FILTER (WHERE is_where), 0)::bigint AS where_sum,
       coalesce(sum(balance) FILTER (WHERE NOT is_where), 0)::bigint AS whose_sum
FROM accounts;
