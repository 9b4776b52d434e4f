-- outlooks(people, addresses, states, assets) -> for each, in their order, what decides about a withdrawal
SELECT now_ms() AS now,
       coalesce((SELECT c.balance FROM accounts c
                 WHERE c.name = of_asset('available:' || a.person, a.asset)), 0)
           AS available,
       t.person_hour, t.person_day, t.address_hour, t.address_day,
       (SELECT b.added_at FROM address_book b
        WHERE b.user_id = a.person AND b.address = a.address AND b.removed_at IS NULL)
           AS address_since,
       coalesce(f.fresh, '[]') AS fresh,
       coalesce(sf.changed_at, 0) AS secured_since,
       coalesce(sf.locked_until, 0) > now_ms() AS is_locked,
       EXISTS (SELECT FROM places o WHERE o.address = a.address) AS is_ours,
       EXISTS (SELECT FROM places o WHERE o.user_id = a.person AND o.asset = a.asset) AS has_address
FROM unnest($1::bigint[], $2::text[], $4::text[]) WITH ORDINALITY AS a (person, address, asset, nth)
CROSS JOIN LATERAL (
    SELECT CASE a.asset WHEN 'SOL' THEN '' ELSE a.asset || ':' END AS prefix
) k
LEFT JOIN second_factors sf ON sf.user_id = a.person
CROSS JOIN LATERAL (
    SELECT coalesce(sum(w.lamports) FILTER (WHERE w.user_id = a.person AND recent), 0)::bigint
               AS person_hour,
           coalesce(sum(w.lamports) FILTER (WHERE w.user_id = a.person), 0)::bigint AS person_day,
           coalesce(sum(w.lamports) FILTER (WHERE w.to_address = a.address AND recent), 0)::bigint
               AS address_hour,
           coalesce(sum(w.lamports) FILTER (WHERE w.to_address = a.address), 0)::bigint
               AS address_day
    FROM (SELECT p.*, p.asked_at > now_ms() - 3600000 AS recent FROM withdrawals p
          WHERE (p.user_id = a.person OR p.to_address = a.address) AND p.asset = a.asset
            AND p.state = ANY ($3::text[]) AND p.asked_at > now_ms() - 86400000) w
) t
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_array(
               p.lamports,
               p.ended_at + (SELECT l.value FROM withdrawal_limits l WHERE l.name = k.prefix ||
                   CASE WHEN d.pool > (SELECT value FROM withdrawal_limits
                                       WHERE name = k.prefix || 'large_pool_lamports')
                        THEN 'large_pool_winnings_ms' ELSE 'winnings_ms' END))) AS fresh
    FROM transfers p JOIN settlements d ON d.room_id = p.room_id
    WHERE p.user_id = a.person AND p.kind = 'payout' AND p.state = 'LANDED' AND p.asset = a.asset
      AND p.ended_at > now_ms() - (SELECT max(value) FROM withdrawal_limits
                                   WHERE name IN (k.prefix || 'winnings_ms',
                                                  k.prefix || 'large_pool_winnings_ms'))
) f
ORDER BY a.nth;
