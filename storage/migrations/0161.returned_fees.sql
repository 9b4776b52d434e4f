-- What the network took for bets that came back, by person and hour, and how much that may be.
-- depends: 0032.limit_acts 0160.payouts_together

CREATE TABLE bet_limits (                       -- settings, taken over by `rooms migrate`
    name text PRIMARY KEY,
    value bigint NOT NULL CHECK (value >= 0),
    changed_at bigint NOT NULL DEFAULT now_ms()
);
INSERT INTO bet_limits (name, value) VALUES ('returned_fee_lamports_hour_max', 2000000);
CREATE TRIGGER limit_is_an_act AFTER UPDATE ON bet_limits
    FOR EACH ROW WHEN (OLD.value <> NEW.value) EXECUTE FUNCTION limit_is_an_act();

CREATE TABLE returned_fees (                    -- what the network took for bets that came back
    user_id bigint NOT NULL REFERENCES users (id),
    hour bigint NOT NULL,                       -- of the block, since 1970
    lamports bigint NOT NULL CHECK (lamports > 0),
    PRIMARY KEY (user_id, hour)
);

-- Counted when the chain has told an attempt's fee: of a refund its part, and what its stake had
-- cost; of a stake that was refused all of it.
CREATE FUNCTION count_returned_fees() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    BEGIN
        INSERT INTO returned_fees (user_id, hour, lamports)
        SELECT c.user_id, NEW.block_at / 3600000, sum(c.lamports)
        FROM (
            SELECT t.user_id,
                   -- Rounded up: the parts are at least the whole.
                   (NEW.fee_lamports + count(*) OVER () - 1) / count(*) OVER ()
                   + coalesce((SELECT a.fee_lamports FROM stakes s
                               JOIN attempts a ON a.signature = s.signature
                               WHERE t.kind = 'refund' AND s.id = t.subject_id), 0) AS lamports,
                   t.kind
            FROM attempt_transfers l JOIN transfers t ON t.id = l.transfer_id
            WHERE l.attempt_id = NEW.id
        ) c
        WHERE (c.kind = 'refund' AND NEW.state = 'LANDED')
           OR (c.kind = 'stake' AND NEW.state = 'REFUSED')
        GROUP BY c.user_id
        ORDER BY c.user_id
        ON CONFLICT (user_id, hour)
            DO UPDATE SET lamports = returned_fees.lamports + excluded.lamports;
        RETURN NULL;
    END $$;
CREATE TRIGGER count_returned_fees AFTER UPDATE OF fee_lamports ON attempts
    FOR EACH ROW WHEN (OLD.fee_lamports IS NULL AND NEW.fee_lamports IS NOT NULL)
    EXECUTE FUNCTION count_returned_fees();

ALTER FUNCTION count_returned_fees SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION count_returned_fees FROM PUBLIC;
GRANT SELECT ON bet_limits, returned_fees TO rooms_worker;
