-- Evidence: what a settlement follows from, kept whole under its hash.

ALTER TABLE stakes ADD COLUMN signature text;       -- of the transaction in which it landed
ALTER TABLE rooms ADD COLUMN base_evidence jsonb;   -- the index price that fixed a move's target
ALTER TABLE rooms ADD COLUMN noted_at bigint;       -- when the decision was written; our clock

ALTER TABLE segments ADD COLUMN is_warm boolean NOT NULL DEFAULT false; -- a replay may begin there

CREATE TABLE evidence (                             -- insert only
    room_id bigint PRIMARY KEY REFERENCES rooms (id),
    hash text NOT NULL,                             -- sha256 of the bundle's canonical text
    bundle bytea NOT NULL,                          -- that text, in zlib's form
    at bigint NOT NULL DEFAULT now_ms()
);
CREATE TRIGGER evidence_append_only BEFORE UPDATE OR DELETE ON evidence
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

GRANT UPDATE (signature) ON stakes TO rooms_custody;
GRANT UPDATE (base_evidence, noted_at) ON rooms TO rooms_worker;
GRANT SELECT, INSERT ON evidence TO rooms_worker;
GRANT SELECT ON evidence TO rooms_gateway;
GRANT SELECT (id, feed, state, outcome, decided_at) ON rooms TO rooms_recorder;
GRANT SELECT ON evidence TO rooms_custody;
