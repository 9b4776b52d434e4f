-- Deposit hints: where a webhook says that something came in.

-- hear(signatures, addresses) -> how many are new; custody is woken by them
SELECT hear_deposits($1, $2);

-- take(limit) -> addresses to look at, once
UPDATE deposit_hints h SET taken_at = now_ms()
FROM (SELECT signature, address FROM deposit_hints WHERE taken_at IS NULL
      ORDER BY heard_at LIMIT $1) w
WHERE (h.signature, h.address) = (w.signature, w.address)
RETURNING h.address;

-- forget(milliseconds) -> nothing; what was taken so long ago is not told again
DELETE FROM deposit_hints WHERE taken_at < now_ms() - $1::bigint;
