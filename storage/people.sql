-- find(person, conversations since) -> the person, the wallet's address, the conversation
SELECT u.id, u.chat_id, u.name, u.blocked, a.address, c.state AS conversation
FROM users u
LEFT JOIN addresses a ON a.user_id = u.id
LEFT JOIN conversations c ON c.user_id = u.id AND c.changed_at >= $2
WHERE u.id = $1;

-- meet(person, chat, name, referrer) -> whether the person is new
INSERT INTO users (id, chat_id, name, referrer)
VALUES ($1, $2, $3, (SELECT id FROM users WHERE id = $4 AND id <> $1))
ON CONFLICT (id) DO UPDATE SET chat_id = $2, name = $3, blocked = false
RETURNING xmax = 0;

-- block(person, whether) -> id, if it was otherwise before
UPDATE users SET blocked = $2 WHERE id = $1 AND blocked <> $2 RETURNING id;
