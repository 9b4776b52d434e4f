-- post(entries) -> keys that are new
SELECT post_entries($1) AS key;

-- posted(keys) -> those that are there
SELECT key FROM entries WHERE key = ANY ($1::text[]);

-- balances(names) -> name and balance of those that exist
SELECT name, balance FROM accounts WHERE name = ANY ($1::text[]);

-- make(names) -> nothing
SELECT make_accounts($1::text[]);

-- lock(names) -> name and balance
SELECT name, balance FROM lock_accounts($1::text[]);
