-- Recording: which stretches of which logs lie on the disk, and who may write that down.

CREATE TABLE segments (                         -- a feed's log of one minute, or of a part of it
    hash text PRIMARY KEY,                      -- sha256 of its content
    feed text NOT NULL REFERENCES feeds (name),
    partition integer NOT NULL,
    minute_at bigint NOT NULL,
    from_at bigint NOT NULL,                    -- the log's time after its first message
    to_at bigint NOT NULL,                      -- and after its last
    first_offset bigint NOT NULL,
    last_offset bigint NOT NULL,
    messages integer NOT NULL,
    missed jsonb,                               -- [first offset not heard, the one heard next]
    file text NOT NULL,                         -- from the recordings' folder
    closed_at bigint NOT NULL DEFAULT now_ms()
);
CREATE INDEX segments_by_feed ON segments (feed, to_at);
CREATE INDEX segments_by_minute ON segments (minute_at);

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rooms_recorder') THEN
        CREATE ROLE rooms_recorder LOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;  -- another database was faster
END $$;

-- recorder: writes down what came, and decides nothing.
GRANT SELECT ON feeds, feed_seconds, segments TO rooms_recorder;
GRANT INSERT, DELETE ON segments TO rooms_recorder;
GRANT SELECT ON segments TO rooms_worker;
