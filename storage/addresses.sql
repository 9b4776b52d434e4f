-- Addresses of ours: written once by custody, never changed.

-- people_without() -> user ids that have no address yet
SELECT u.id FROM users u LEFT JOIN addresses a ON a.user_id = u.id
WHERE a.address IS NULL ORDER BY u.id LIMIT 500;

-- rooms_without() -> drafts that have no vault yet
SELECT r.id FROM rooms r LEFT JOIN addresses a ON a.room_id = r.id
WHERE r.state = 'DRAFT' AND a.address IS NULL ORDER BY r.id LIMIT 500;

-- insert(addresses, kinds, user ids, room ids) -> the addresses that are new
INSERT INTO addresses (address, kind, user_id, room_id)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
ON CONFLICT (address) DO NOTHING
RETURNING address;

-- of_operator() -> kind and address of treasury and fee payer
SELECT kind, address FROM addresses WHERE kind IN ('treasury', 'fee_payer');

-- keys(addresses) -> who each address belongs to, for the signer's paths
SELECT address, kind, user_id, room_id, asset, wallet FROM places WHERE address = ANY($1::text[]);

-- wallets_without(asset) -> addresses of ours that need an account for a token and have none
SELECT a.address, a.kind, a.user_id, a.room_id
FROM addresses a
LEFT JOIN rooms r ON r.id = a.room_id
LEFT JOIN token_accounts t ON t.wallet = a.address AND t.asset = $1
WHERE t.address IS NULL AND (a.kind IN ('user', 'treasury') OR (a.kind = 'vault' AND r.asset = $1))
ORDER BY a.created_at LIMIT 500;

-- insert_accounts(addresses, asset, wallets, kinds, user ids, room ids) -> nothing
INSERT INTO token_accounts (address, asset, wallet, kind, user_id, room_id)
SELECT t.address, $2, t.wallet, t.kind, t.user_id, t.room_id
FROM unnest($1::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
    AS t (address, wallet, kind, user_id, room_id)
ON CONFLICT (address) DO NOTHING;

-- accounts_with_balances(asset) -> every account of ours for a token, and what the ledger says lies there
SELECT a.address, a.kind, a.user_id, a.asset, a.wallet, coalesce(c.balance, 0) AS lamports
FROM token_accounts a LEFT JOIN accounts c ON c.name = of_asset('chain:' || a.address, a.asset)
WHERE a.asset = $1;

-- watched(limit) -> addresses that people were given, or had a deposit at, most lately
SELECT address
FROM ((SELECT address, created_at AS at FROM addresses
       WHERE kind = 'user' ORDER BY created_at DESC LIMIT $1)
      UNION ALL
      (SELECT d.address, d.seen_at FROM deposits d JOIN addresses a USING (address)
       WHERE a.kind = 'user' ORDER BY d.slot DESC LIMIT $1)) lately
GROUP BY address ORDER BY max(at) DESC, address LIMIT $1;

-- with_balances() -> every address of ours and what the ledger says lies there
SELECT a.address, a.kind, a.user_id, coalesce(c.balance, 0) AS lamports
FROM addresses a LEFT JOIN accounts c ON c.name = 'chain:' || a.address;

-- some_with_balances(addresses) -> those of them that are ours and what the ledger says lies there
SELECT a.address, a.kind, a.user_id, coalesce(c.balance, 0) AS lamports
FROM addresses a LEFT JOIN accounts c ON c.name = 'chain:' || a.address
WHERE a.address = ANY ($1::text[]);
