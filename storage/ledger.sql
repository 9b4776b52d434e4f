-- post(entries) -> keys that are new
SELECT post_entries($1) AS key;

-- posted(keys) -> those that are there
SELECT key FROM entries WHERE key = ANY ($1::text[]);

-- balances(names) -> name and balance of those that exist
SELECT name, balance FROM accounts WHERE name = ANY ($1::text[]);

-- make(names) -> nothing
INSERT INTO accounts (name)
SELECT DISTINCT name FROM unnest($1::text[]) AS t (name) ORDER BY 1
ON CONFLICT DO NOTHING;

-- lock(names) -> name and balance
SELECT name, balance FROM accounts WHERE name = ANY ($1::text[]) ORDER BY name FOR UPDATE;
