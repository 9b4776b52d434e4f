-- Audit: what must never be so. Each check gives its subject, what was found and what is expected.

-- look() -> the highest ids that can be seen, the oldest transaction under way, the next one's name
SELECT coalesce((SELECT max(id) FROM entries), 0) AS entry,
       coalesce((SELECT max(id) FROM transfers), 0) AS transfer,
       coalesce((SELECT max(id) FROM attempts), 0) AS attempt,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next;

-- unbalanced(after, to) -> entries that move something else between places than between owners
SELECT e.key AS subject,
       coalesce(sum(p.lamports) FILTER (WHERE p.account LIKE 'chain:%'), 0)::bigint AS found,
       coalesce(sum(p.lamports) FILTER (WHERE p.account NOT LIKE 'chain:%'), 0)::bigint AS expected
FROM entries e LEFT JOIN postings p ON p.entry_id = e.id
WHERE e.id > $1 AND e.id <= $2
GROUP BY e.id, e.key, split_part(p.account, '@', 2)     -- each asset by itself
HAVING count(p.entry_id) = 0
    OR coalesce(sum(p.lamports) FILTER (WHERE p.account LIKE 'chain:%'), 0)
       <> coalesce(sum(p.lamports) FILTER (WHERE p.account NOT LIKE 'chain:%'), 0)
LIMIT 20;

-- broken_accounts(after, to) -> postings that do not follow from the one before them
SELECT p.account || '#' || p.version AS subject, p.balance AS found,
       coalesce(b.balance, 0) + p.lamports AS expected
FROM postings p
LEFT JOIN postings b ON b.account = p.account AND b.version = p.version - 1
WHERE p.entry_id > $1 AND p.entry_id <= $2
  AND (p.balance <> coalesce(b.balance, 0) + p.lamports
       OR p.version < 1 OR (p.version > 1) <> (b.version IS NOT NULL))
LIMIT 20;

-- accounts_now(after, to) -> accounts of these postings that are not what their last posting says
SELECT a.name AS subject, a.balance AS found, p.balance AS expected
FROM accounts a
CROSS JOIN LATERAL (
    SELECT balance, version FROM postings WHERE account = a.name ORDER BY version DESC LIMIT 1
) p
WHERE a.name IN (SELECT account FROM postings WHERE entry_id > $1 AND entry_id <= $2)
  AND (a.balance <> p.balance OR a.version <> p.version)
LIMIT 20;

-- negative_now(after, to) -> accounts of these postings that are below nothing
SELECT name AS subject, balance AS found, 0::bigint AS expected
FROM accounts
WHERE balance < 0
  AND name IN (SELECT account FROM postings WHERE entry_id > $1 AND entry_id <= $2)
LIMIT 20;

-- two_effects(after, to) -> causes that were both carried out and given back, or never reserved
WITH fresh AS (
    SELECT DISTINCT CASE WHEN key LIKE 'release:%' THEN substr(key, 9) ELSE key END AS cause
    FROM entries
    WHERE id > $1 AND id <= $2
      AND (key LIKE 'release:%' OR key LIKE 'stake:%' OR key LIKE 'withdrawal:%')
), counted AS (
    SELECT cause,
           (SELECT count(*) FROM entries WHERE key IN (cause, 'release:' || cause))
           - (SELECT count(*) FROM entries WHERE key IN ('undo:' || cause, 'undo:release:' || cause))
           AS effects,
           (SELECT count(*) FROM entries WHERE key = 'hold:' || cause) AS holds
    FROM fresh
)
SELECT cause AS subject, effects AS found, holds AS expected FROM counted
WHERE effects > holds OR holds > 1
UNION ALL
SELECT e.key, count(*), 1
FROM entries e
WHERE e.key IN (SELECT key FROM entries WHERE id > $1 AND id <= $2)
GROUP BY e.key HAVING count(*) > 1
LIMIT 20;

-- unplanned(after, to) -> attempts that belong to no transfer and lay no floor
-- A memo with a row of the audit log needs none. One that failed on chain, and was read back from
-- there without its bytes, tells nothing of either.
SELECT a.signature AS subject, 1::bigint AS found, 0::bigint AS expected
FROM attempts a
WHERE a.id > $1 AND a.id <= $2 AND NOT (a.raw = '' AND a.state = 'REFUSED')
  AND NOT EXISTS (SELECT FROM attempt_transfers l WHERE l.attempt_id = a.id)
  AND NOT EXISTS (SELECT FROM attempt_floors f WHERE f.attempt_id = a.id)
  AND NOT EXISTS (SELECT FROM audit_log l WHERE a.memo = 'r1 audit ' || l.number || ' ' || l.hash)
LIMIT 20;

-- uncaused(after, to) -> transfers that are not what their stake, settlement or withdrawal says
SELECT t.key AS subject, t.lamports AS found,
       coalesce(CASE t.kind WHEN 'stake' THEN s.lamports WHEN 'refund' THEN s.lamports
                            WHEN 'withdrawal' THEN w.lamports
                            WHEN 'shares' THEN d.house + shared.lamports
                            WHEN 'return' THEN ever.lamports WHEN 'earning' THEN ever.lamports
                            WHEN 'payout' THEN t.lamports END, 0) AS expected
FROM transfers t
LEFT JOIN rooms r ON r.id = t.room_id
LEFT JOIN places own ON own.user_id = t.user_id AND own.asset = t.asset
LEFT JOIN places vault ON vault.room_id = t.room_id AND vault.asset = t.asset
LEFT JOIN stakes s ON t.kind IN ('stake', 'refund') AND s.id = t.subject_id
                  AND s.user_id = t.user_id AND s.room_id = t.room_id
LEFT JOIN withdrawals w ON t.kind = 'withdrawal' AND w.id = t.subject_id AND w.user_id = t.user_id
LEFT JOIN settlements d ON t.kind IN ('payout', 'shares') AND d.room_id = t.room_id
LEFT JOIN bets b ON t.kind = 'payout' AND b.room_id = t.room_id AND b.user_id = t.user_id
LEFT JOIN LATERAL (
    SELECT coalesce(sum((part ->> 1)::bigint), 0)::bigint AS lamports
    FROM jsonb_array_elements(d.shares) part
) shared ON true
LEFT JOIN LATERAL (
    SELECT sum(p.lamports)::bigint AS lamports
    FROM postings p
    WHERE p.lamports > 0
      AND p.account = CASE t.kind WHEN 'return' THEN 'floor:' || t.from_address
                                  WHEN 'earning' THEN 'earned:' || t.user_id END
) ever ON t.kind IN ('return', 'earning')
WHERE t.id > $1 AND t.id <= $2
  AND NOT coalesce(t.asset = coalesce(w.asset, r.asset, 'SOL') AND CASE t.kind
      WHEN 'stake' THEN t.lamports = s.lamports
                        AND t.from_address = own.address AND t.to_address = vault.address
      WHEN 'refund' THEN t.lamports = s.lamports
                         AND t.from_address = vault.address AND t.to_address = own.address
      WHEN 'payout' THEN b.side = d.outcome
                         AND t.from_address = vault.address AND t.to_address = own.address
      WHEN 'shares' THEN t.lamports = d.house + shared.lamports AND t.from_address = vault.address
                         AND t.to_address = (SELECT address FROM places
                                             WHERE kind = 'treasury' AND asset = t.asset)
      WHEN 'withdrawal' THEN t.lamports = w.lamports
                             AND t.from_address = own.address AND t.to_address = w.to_address
      WHEN 'return' THEN t.lamports <= ever.lamports AND t.room_id IS NULL
                         AND t.to_address = (SELECT address FROM addresses WHERE kind = 'fee_payer')
      WHEN 'earning' THEN t.lamports <= ever.lamports AND t.room_id IS NULL
                          AND t.to_address = own.address
                          AND t.from_address = (SELECT address FROM addresses
                                                WHERE kind = 'treasury')
      ELSE true
  END, false)
LIMIT 20;

-- overpaid_now(after, to) -> rooms for which transfers were just planned that exceed their pool
SELECT d.room_id::text AS subject, sum(t.lamports)::bigint AS found, d.pool AS expected
FROM settlements d
JOIN transfers t ON t.room_id = d.room_id AND t.state IN ('PLANNED', 'ATTEMPTED')
LEFT JOIN stakes s ON t.kind = 'refund' AND s.id = t.subject_id
WHERE d.room_id IN (SELECT room_id FROM transfers
                    WHERE id > $1 AND id <= $2 AND kind IN ('payout', 'refund', 'shares'))
  AND (t.kind IN ('payout', 'shares') OR (t.kind = 'refund' AND s.state = 'LANDED'))
GROUP BY d.room_id, d.pool
HAVING sum(t.lamports) > d.pool
LIMIT 20;

-- negative() -> accounts below nothing
SELECT name AS subject, balance AS found, 0::bigint AS expected
FROM accounts WHERE balance < 0 LIMIT 20;

-- books_differ() -> the sums of the two books, of each asset, when they differ
SELECT CASE asset WHEN 'SOL' THEN 'books' ELSE 'books of ' || asset END AS subject,
       coalesce(sum(balance) FILTER (WHERE name LIKE 'chain:%'), 0)::bigint AS found,
       coalesce(sum(balance) FILTER (WHERE name NOT LIKE 'chain:%'), 0)::bigint AS expected
FROM accounts
GROUP BY asset
HAVING coalesce(sum(balance) FILTER (WHERE name LIKE 'chain:%'), 0)
       <> coalesce(sum(balance) FILTER (WHERE name NOT LIKE 'chain:%'), 0);

-- not_their_postings() -> accounts whose balance or version is not that of their last posting
SELECT a.name AS subject, a.balance AS found, coalesce(p.balance, 0) AS expected
FROM accounts a
LEFT JOIN LATERAL (
    SELECT balance, version FROM postings WHERE account = a.name ORDER BY version DESC LIMIT 1
) p ON true
WHERE a.balance <> coalesce(p.balance, 0) OR a.version <> coalesce(p.version, 0)
LIMIT 20;

-- claims_differ() -> addresses where something else lies than may be claimed there
SELECT a.address AS subject, coalesce(at_chain.balance, 0) AS found, c.lamports AS expected
FROM places a
LEFT JOIN accounts at_chain ON at_chain.name = of_asset('chain:' || a.address, a.asset)
CROSS JOIN LATERAL (
    SELECT coalesce(sum(balance), 0)::bigint AS lamports FROM accounts
    WHERE name IN (of_asset('floor:' || a.address, a.asset), of_asset('stray:' || a.address, a.asset),
                   of_asset('available:' || a.user_id, a.asset),
                   of_asset('held:' || a.user_id, a.asset), of_asset('pool:' || a.room_id, a.asset),
                   of_asset('due:' || a.room_id, a.asset))
) c
WHERE a.kind IN ('user', 'vault') AND coalesce(at_chain.balance, 0) <> c.lamports
UNION ALL
-- The rent under a token account that we opened is the operator's, in lamports.
SELECT t.address, coalesce(at_chain.balance, 0), coalesce(floor.balance, 0)
FROM token_accounts t
LEFT JOIN accounts at_chain ON at_chain.name = 'chain:' || t.address
LEFT JOIN accounts floor ON floor.name = 'floor:' || t.address
WHERE coalesce(at_chain.balance, 0) <> coalesce(floor.balance, 0)
LIMIT 20;

-- operator_differs() -> treasury and fee payer, when they hold something else than is claimed there
WITH ours AS (SELECT address, asset FROM places WHERE kind IN ('treasury', 'fee_payer')),
sums AS (
    SELECT k.asset,
           coalesce((SELECT sum(balance) FROM accounts
                     WHERE name IN (SELECT of_asset('chain:' || address, asset) FROM ours
                                    WHERE asset = k.asset)), 0)::bigint AS found,
           coalesce((SELECT sum(balance) FROM accounts
                     WHERE asset = k.asset
                       AND (name = of_asset('house', k.asset) OR name LIKE 'earned:%'
                            OR name IN (SELECT of_asset(prefix || address, asset) FROM ours,
                                        (VALUES ('floor:'), ('stray:')) AS p (prefix)))), 0)::bigint
           AS expected
    FROM (SELECT 'SOL' AS asset UNION ALL SELECT name FROM tokens) k
)
SELECT 'treasury and fee payer' || CASE asset WHEN 'SOL' THEN '' ELSE ' in ' || asset END AS subject,
       found, expected
FROM sums WHERE found <> expected;

-- strange_accounts() -> accounts for addresses that are not ours
SELECT c.name AS subject, c.balance AS found, 0::bigint AS expected
FROM accounts c
WHERE c.name LIKE 'chain:%' AND c.balance <> 0
  AND NOT EXISTS (SELECT FROM places a WHERE of_asset('chain:' || a.address, a.asset) = c.name)
  AND NOT EXISTS (SELECT FROM token_accounts t WHERE 'chain:' || t.address = c.name)
LIMIT 20;

-- two_attempts() -> transfers with more than one live attempt
SELECT t.key AS subject, count(*) AS found, 1::bigint AS expected
FROM attempt_transfers l JOIN transfers t ON t.id = l.transfer_id
WHERE l.live GROUP BY t.key HAVING count(*) > 1
LIMIT 20;

-- landed_twice() -> transfers of which more than one attempt has landed
SELECT t.key AS subject, count(*) AS found, 1::bigint AS expected
FROM attempts a
JOIN attempt_transfers l ON l.attempt_id = a.id
JOIN transfers t ON t.id = l.transfer_id
WHERE a.state = 'LANDED' GROUP BY t.key HAVING count(*) > 1
LIMIT 20;

-- overpaid() -> settled rooms whose transfers exceed their pool
SELECT d.room_id::text AS subject, t.lamports AS found, d.pool AS expected
FROM settlements d
JOIN (
    SELECT t.room_id, sum(t.lamports)::bigint AS lamports
    FROM transfers t
    LEFT JOIN stakes s ON t.kind = 'refund' AND s.id = t.subject_id
    WHERE t.state <> 'RELEASED'
      AND (t.kind IN ('payout', 'shares') OR (t.kind = 'refund' AND s.state = 'LANDED'))
    GROUP BY t.room_id
) t USING (room_id)
WHERE t.lamports > d.pool
LIMIT 20;

-- report(key, rule, what) -> whether it is new; everything is paused then
SELECT report_breach($1, $2, $3);

-- live_attempts() -> signatures whose fate is open
SELECT signature FROM attempts WHERE state = 'SIGNED' ORDER BY id;

-- posted_after(slot, asset) -> what signatures that are final after a slot did to each address
SELECT address, slot, lamports FROM (
    SELECT t.from_address AS address, a.slot, -t.lamports AS lamports, t.asset
    FROM attempts a
    JOIN attempt_transfers l ON l.attempt_id = a.id JOIN transfers t ON t.id = l.transfer_id
    WHERE a.slot > $1 AND a.state = 'LANDED'
    UNION ALL
    SELECT t.to_address, a.slot, t.lamports, t.asset
    FROM attempts a
    JOIN attempt_transfers l ON l.attempt_id = a.id JOIN transfers t ON t.id = l.transfer_id
    WHERE a.slot > $1 AND a.state = 'LANDED'
    UNION ALL
    SELECT f.address, a.slot, f.lamports, 'SOL'
    FROM attempts a JOIN attempt_floors f ON f.attempt_id = a.id
    WHERE a.slot > $1 AND a.state = 'LANDED'
    UNION ALL
    SELECT a.fee_payer, a.slot, -f.lamports, 'SOL'
    FROM attempts a JOIN attempt_floors f ON f.attempt_id = a.id
    WHERE a.slot > $1 AND a.state = 'LANDED'
    UNION ALL
    SELECT fee_payer, slot, -fee_lamports, 'SOL' FROM attempts
    WHERE slot > $1 AND fee_lamports IS NOT NULL
    UNION ALL
    -- What a fork took back is in the ledger until it is undone, and on no chain.
    SELECT d.address, CASE WHEN d.gone_at IS NULL THEN d.slot ELSE 9223372036854775807 END,
           d.lamports + d.other_lamports, d.asset
    FROM deposits d
    WHERE d.undone_at IS NULL AND (d.slot > $1 OR d.gone_at IS NOT NULL)
) effects
WHERE asset = $2;

-- posted_deposits(signatures, addresses) -> those that are posted
SELECT d.signature, d.address
FROM deposits d
JOIN unnest($1::text[], $2::text[]) AS t (signature, address) USING (signature, address)
WHERE d.undone_at IS NULL;

-- claims(asset) -> what each person may claim, in the wallet, in rooms, and on the way back
SELECT user_id AS user, sum(lamports)::bigint AS lamports FROM (
    SELECT split_part(split_part(name, '@', 1), ':', 2)::bigint AS user_id, balance AS lamports
    FROM accounts
    WHERE asset = $1
      AND (name LIKE 'available:%' OR name LIKE 'held:%' OR name LIKE 'earned:%')
    UNION ALL
    SELECT s.user_id, s.lamports FROM stakes s JOIN rooms r ON r.id = s.room_id
    WHERE r.asset = $1 AND s.state = 'LANDED' AND r.state NOT IN ('SETTLED', 'PAID')
    UNION ALL
    SELECT user_id, lamports FROM transfers
    WHERE asset = $1 AND kind IN ('payout', 'refund') AND state IN ('PLANNED', 'ATTEMPTED')
) parts
GROUP BY user_id HAVING sum(lamports) <> 0
ORDER BY user_id;

-- owed(asset) -> everything that is claimed; of it the operator's own, strangers', shares on their way,
-- and what is posted of deposits that are not final
SELECT coalesce(sum(balance) FILTER (WHERE name NOT LIKE 'chain:%'), 0)::bigint AS claimed,
       coalesce(sum(balance) FILTER (WHERE name = of_asset('house', $1) OR name LIKE 'floor:%'), 0)::bigint AS own,
       coalesce(sum(balance) FILTER (WHERE name LIKE 'stray:%'), 0)::bigint AS stray,
       coalesce((SELECT sum(lamports) FROM transfers
                 WHERE asset = $1 AND kind = 'shares'
                   AND state IN ('PLANNED', 'ATTEMPTED')), 0)::bigint AS shares,
       coalesce((SELECT sum(lamports + other_lamports) FROM deposits
                 WHERE asset = $1 AND final_at IS NULL AND undone_at IS NULL), 0)::bigint AS arriving
FROM accounts
WHERE asset = $1;
