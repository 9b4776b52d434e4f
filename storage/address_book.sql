-- lines(person) -> addresses and since when, the newest first
SELECT address, added_at FROM address_book
WHERE user_id = $1 AND removed_at IS NULL
ORDER BY id DESC;

-- remember(person, address) -> nothing; an address already in the book stays as old as it is
INSERT INTO address_book (user_id, address) VALUES ($1, $2)
ON CONFLICT (user_id, address) WHERE removed_at IS NULL DO NOTHING;

-- forget(person, address) -> nothing
UPDATE address_book SET removed_at = now_ms()
WHERE user_id = $1 AND address = $2 AND removed_at IS NULL;
