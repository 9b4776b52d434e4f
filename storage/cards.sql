-- open_rooms(offset, limit) -> ids
SELECT id
FROM rooms
WHERE outcome IS NULL AND state IN ('OPEN', 'LOCKED')
ORDER BY state = 'LOCKED', CASE state WHEN 'OPEN' THEN lock_at ELSE deadline_at END, id
OFFSET $1 LIMIT $2;

-- rooms(ids, person) -> rooms with their pools, in the order asked for
SELECT r.id, r.creator, r.feed, r.scale, r.comparator, r.move_bps, r.target, r.opened_at, r.lock_at,
       r.cut_at, r.watch_at, r.deadline_at, r.target_wait_ms, r.gap_ms_max, r.protocol_fee_bps,
       r.host_fee_bps, r.stake_lamports_min, r.stake_lamports_max, r.seats, r.volatility_bps,
       r.guards, r.held_ms, r.is_live, r.pool_lamports_max, r.asset, r.asset_decimals, r.state, coalesce(e.outcome, r.outcome) AS outcome,
       coalesce(e.void_reason, r.void_reason) AS void_reason, r.sealed_at, r.sealed_slot,
       f.unit, coalesce(f.expression, f.name) AS name,
       CASE WHEN f.expression IS NULL THEN coalesce(f.name || ' is ' || nullif(f.meaning, ''), '')
       ELSE coalesce((SELECT string_agg(i.name || ' is ' || i.meaning, '; ' ORDER BY i.name)
                      FROM feeds i WHERE f.inputs ? i.name AND i.meaning <> ''), '')
       END AS meaning, a.address AS vault, e.evidence_hash, c.value,
       coalesce(r.sealed_yes, p.yes) AS yes, coalesce(r.sealed_no, p.no) AS no,
       p.yes_weighed::text, p.no_weighed::text, p.bettors,
       p.own_side, p.own_lamports, p.own_weighed::text
FROM unnest($1::bigint[]) WITH ORDINALITY AS asked (id, nth)
JOIN rooms r ON r.id = asked.id
JOIN feeds f ON f.name = r.feed
LEFT JOIN places a ON a.room_id = r.id AND a.asset = r.asset
LEFT JOIN settlements e ON e.room_id = r.id
LEFT JOIN crossings c ON c.room_id = r.id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(lamports) FILTER (WHERE side = 'YES'), 0)::bigint AS yes,
           coalesce(sum(lamports) FILTER (WHERE side = 'NO'), 0)::bigint AS no,
           coalesce(sum(lamports * weight_bps) FILTER (WHERE side = 'YES'), 0) AS yes_weighed,
           coalesce(sum(lamports * weight_bps) FILTER (WHERE side = 'NO'), 0) AS no_weighed,
           count(DISTINCT user_id)::integer AS bettors,
           max(side) FILTER (WHERE user_id = $2) AS own_side,
           coalesce(sum(lamports) FILTER (WHERE user_id = $2), 0)::bigint AS own_lamports,
           coalesce(sum(lamports * weight_bps) FILTER (WHERE user_id = $2), 0) AS own_weighed
    FROM stakes
    WHERE room_id = r.id AND state IN ('HELD', 'LANDED')
) p
ORDER BY asked.nth;

-- wallet(person, asset) -> address and balances
SELECT (SELECT address FROM addresses WHERE user_id = $1) AS address,
       coalesce((SELECT balance FROM accounts WHERE name = of_asset('available:' || $1::bigint, $2)), 0) AS available,
       coalesce((SELECT balance FROM accounts
                 WHERE name = of_asset('held:' || $1::bigint, $2)), 0) AS held,
       coalesce((SELECT balance FROM accounts
                 WHERE name = of_asset('earned:' || $1::bigint, $2)), 0) AS earned,
       coalesce((SELECT sum(s.lamports) FROM stakes s JOIN rooms r ON r.id = s.room_id
                 WHERE s.user_id = $1 AND s.state = 'LANDED' AND r.asset = $2
                   AND r.state IN ('OPEN', 'LOCKED', 'DECIDED')), 0)::bigint AS in_rooms,
       coalesce((SELECT sum(lamports) FROM transfers
                 WHERE user_id = $1 AND kind IN ('payout', 'refund') AND asset = $2
                   AND state IN ('PLANNED', 'ATTEMPTED')), 0)::bigint AS coming;

-- waiting(person) -> withdrawals that have not left yet
SELECT id, lamports, to_address, due_at, asset, decimals_of(asset) AS decimals
FROM withdrawals
WHERE user_id = $1 AND state IN ('ASKED', 'WAITING') AND cancel_asked_at IS NULL
ORDER BY id;

-- bets(person, only won, offset, limit) -> bets with what came back, newest first
SELECT r.id AS room, coalesce(f.expression, r.feed) AS feed, f.unit, r.scale, r.comparator, r.move_bps, r.target, r.state,
       coalesce(e.outcome, r.outcome) AS outcome, r.deadline_at, b.side,
       s.staked, p.paid, p.signature, r.asset, r.asset_decimals
FROM bets b
JOIN rooms r ON r.id = b.room_id
JOIN feeds f ON f.name = r.feed
LEFT JOIN settlements e ON e.room_id = r.id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(lamports), 0)::bigint AS staked
    FROM stakes
    WHERE bet_id = b.id AND state <> 'RELEASED'
) s
CROSS JOIN LATERAL (
    SELECT sum(t.lamports)::bigint AS paid,
           (array_agg(a.signature ORDER BY a.id DESC))[1] AS signature
    FROM transfers t
    JOIN attempt_transfers m ON m.transfer_id = t.id
    JOIN attempts a ON a.id = m.attempt_id AND a.state = 'LANDED'
    WHERE t.user_id = b.user_id AND t.room_id = b.room_id
      AND t.kind IN ('payout', 'refund') AND t.state = 'LANDED'
) p
WHERE b.user_id = $1 AND s.staked > 0
  AND (NOT $2::boolean OR coalesce(e.outcome, r.outcome) = b.side)
ORDER BY b.id DESC
OFFSET $3 LIMIT $4;

-- history(person, offset, limit) -> changes of what is available, newest first
SELECT e.at, e.key, p.lamports, p.balance, c.asset, decimals_of(c.asset) AS decimals,
       (SELECT a.signature
        FROM transfers t
        JOIN attempt_transfers m ON m.transfer_id = t.id
        JOIN attempts a ON a.id = m.attempt_id AND a.state = 'LANDED'
        WHERE t.key = CASE WHEN e.key LIKE 'hold:%' THEN substr(e.key, 6) ELSE e.key END
        ORDER BY a.id DESC
        LIMIT 1) AS signature
FROM postings p
JOIN entries e ON e.id = p.entry_id
JOIN accounts c ON c.name = p.account
WHERE p.account IN (SELECT 'available:' || $1::bigint
                    UNION ALL SELECT of_asset('available:' || $1::bigint, name) FROM tokens)
ORDER BY p.entry_id DESC
OFFSET $2 LIMIT $3;

-- invited(person) -> people brought, shares ever earned
SELECT (SELECT count(*) FROM users WHERE referrer = $1)::integer AS people,
       coalesce((SELECT sum(lamports) FROM postings
                 WHERE account = 'earned:' || $1::bigint AND lamports > 0), 0)::bigint AS earned;
