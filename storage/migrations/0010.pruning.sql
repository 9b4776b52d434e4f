-- What is not needed any more is found without reading what is.
-- depends: 0003.open_rooms

CREATE INDEX outbox_sent ON outbox (sent_at) WHERE sent_at IS NOT NULL AND topic <> 'events';

GRANT DELETE ON feed_seconds TO rooms_worker;
