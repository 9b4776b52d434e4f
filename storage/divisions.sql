-- Divisions: what custody compares a planned transfer with, before it signs.

-- settled(room) -> the room with its settlement, when it has one
SELECT r.*, d.outcome AS written_outcome, d.pool AS written_pool, d.house AS written_house,
       d.shares AS written_shares, d.evidence_hash AS written_hash
FROM rooms r JOIN settlements d ON d.room_id = r.id
WHERE r.id = $1;

-- otherwise(transfers) -> those that are not what their stake, withdrawal or account and the addresses
-- say
-- What a settlement divides is not judged here but by dividing it again.
SELECT t.id, t.key
FROM transfers t
LEFT JOIN rooms r ON r.id = t.room_id
LEFT JOIN places own ON own.kind = 'user' AND own.user_id = t.user_id AND own.asset = t.asset
LEFT JOIN places vault ON vault.kind = 'vault' AND vault.room_id = t.room_id
                      AND vault.asset = t.asset
LEFT JOIN stakes s ON t.kind IN ('stake', 'refund') AND s.id = t.subject_id
                  AND s.user_id = t.user_id AND s.room_id = t.room_id
LEFT JOIN withdrawals w ON t.kind = 'withdrawal' AND w.id = t.subject_id AND w.user_id = t.user_id
LEFT JOIN entries h ON h.key = 'hold:' || t.key
LEFT JOIN postings held ON held.entry_id = h.id AND held.account = of_asset('held:' || t.user_id, t.asset)
WHERE t.id = ANY ($1::bigint[])
  AND NOT coalesce(t.asset = coalesce(w.asset, r.asset, 'SOL') AND CASE t.kind
      WHEN 'stake' THEN t.key = 'stake:' || s.id AND s.state = 'HELD'
                        AND t.lamports = s.lamports AND t.lamports = held.lamports
                        AND t.from_address = own.address AND t.to_address = vault.address
      WHEN 'withdrawal' THEN t.key = 'withdrawal:' || w.id AND w.state = 'LEAVING'
                             AND t.lamports = w.lamports AND t.lamports = held.lamports
                             AND t.from_address = own.address AND t.to_address = w.to_address
                             AND NOT EXISTS (SELECT FROM places WHERE address = t.to_address)
      WHEN 'payout' THEN t.key = 'payout:' || t.room_id || ':' || t.user_id
                         AND t.from_address = vault.address AND t.to_address = own.address
      WHEN 'refund' THEN t.key = 'refund:' || s.id AND t.lamports = s.lamports
                         AND s.state IN ('LANDED', 'MISSED')
                         AND t.from_address = vault.address AND t.to_address = own.address
      WHEN 'shares' THEN t.key = 'shares:' || t.room_id AND t.from_address = vault.address
                         AND t.to_address = (SELECT address FROM places
                                             WHERE kind = 'treasury' AND asset = t.asset)
      WHEN 'return' THEN starts_with(t.key, 'return:' || t.from_address || ':')
                         AND t.room_id IS NULL
                         AND t.to_address = (SELECT address FROM addresses WHERE kind = 'fee_payer')
                         AND t.lamports <= (SELECT balance FROM accounts
                                            WHERE name = 'floor:' || t.from_address)
      WHEN 'earning' THEN starts_with(t.key, 'earning:' || t.user_id || ':')
                          AND t.room_id IS NULL
                          AND t.from_address = (SELECT address FROM addresses
                                                WHERE kind = 'treasury')
                          AND t.to_address = own.address
                          AND t.lamports <= (SELECT balance FROM accounts
                                             WHERE name = 'earned:' || t.user_id)
  END, false)
ORDER BY t.id;

-- missed(stakes) -> those that missed the cut: they go back whatever the settlement says
SELECT id FROM stakes WHERE id = ANY ($1::bigint[]) AND state = 'MISSED';
