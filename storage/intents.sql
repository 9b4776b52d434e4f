-- bet(key, person, room, side, lamports) -> id, or nothing when it was asked before
INSERT INTO bet_requests (key, user_id, room_id, side, lamports)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (key) DO NOTHING
RETURNING id;

-- room(key, creator, feed, request) -> id, or nothing when it was asked before
INSERT INTO room_requests (key, creator, feed, request)
VALUES ($1, $2, $3, $4)
ON CONFLICT (key) DO NOTHING
RETURNING id;

-- withdrawal(key, person, address, lamports, asset) -> id, or nothing when it was asked before
INSERT INTO withdrawals (key, user_id, to_address, lamports, asset)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (key) DO NOTHING
RETURNING id;

-- cancel(withdrawal, person) -> its id, when it has not left yet
UPDATE withdrawals SET cancel_asked_at = coalesce(cancel_asked_at, now_ms())
WHERE id = $1 AND user_id = $2 AND state IN ('ASKED', 'WAITING')
RETURNING id;

-- cancel_all(person) -> ids of what had not left yet
UPDATE withdrawals SET cancel_asked_at = now_ms()
WHERE user_id = $1 AND state IN ('ASKED', 'WAITING') AND cancel_asked_at IS NULL
RETURNING id;
