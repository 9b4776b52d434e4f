-- What a webhook says that it saw: where custody is to look, and nothing more.
-- depends: 0120.stops

CREATE TABLE deposit_hints (
    signature text NOT NULL,
    address text NOT NULL REFERENCES addresses (address),
    heard_at bigint NOT NULL DEFAULT now_ms(),
    taken_at bigint,                            -- custody has gone to look
    PRIMARY KEY (signature, address)
);
CREATE INDEX deposit_hints_waiting ON deposit_hints (heard_at) WHERE taken_at IS NULL;

-- hear_deposits(signatures, addresses) -> how many are new
-- Addresses that are not ours are passed over; whoever tells need not know which are.
CREATE FUNCTION hear_deposits(signatures text[], places text[]) RETURNS integer
    LANGUAGE plpgsql
    AS $$
    DECLARE fresh integer;
    BEGIN
        INSERT INTO deposit_hints (signature, address)
        SELECT DISTINCT h.signature, a.address
        FROM unnest(signatures, places) AS h (signature, place)
        JOIN addresses a ON a.address = h.place
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS fresh = ROW_COUNT;
        IF fresh > 0 THEN
            PERFORM wake_up('custody');
        END IF;
        RETURN fresh;
    END $$;

ALTER FUNCTION hear_deposits SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION hear_deposits FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hear_deposits TO rooms_gateway;
GRANT SELECT, UPDATE (taken_at), DELETE ON deposit_hints TO rooms_custody;
GRANT SELECT ON deposit_hints TO rooms_auditor;
