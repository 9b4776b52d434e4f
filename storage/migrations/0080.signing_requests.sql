-- What a signer elsewhere is asked, written down before it is sent.
-- depends: 0003.open_rooms

CREATE TABLE signing_requests (
    name text PRIMARY KEY,                      -- what is signed, and by which key
    body bytea NOT NULL,                        -- the exact bytes that are sent, now and again
    made_at bigint NOT NULL
);

CREATE INDEX signing_requests_made ON signing_requests (made_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON signing_requests TO rooms_custody;
