-- Flags that are read without locking their rows; what is done to the installation and by whom;
-- a log in which no row can be changed, left out or cut off unseen.

-- flag_is_open(flag) -> whether it and the one for all are open
-- Whoever reads holds a shared lock until the transaction ends, so that a pause can wait for those
-- who read "open". What cannot be read is closed, and the transaction goes on.
CREATE FUNCTION flag_is_open(flag text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(7266310, hashtext(w.name))
        FROM (VALUES ('all'), (flag)) AS w (name);
        RETURN (SELECT count(*) = (CASE flag WHEN 'all' THEN 1 ELSE 2 END)
                FROM flags f WHERE f.name IN (flag, 'all') AND f.open);
    EXCEPTION
        WHEN insufficient_privilege OR undefined_table OR undefined_column THEN RETURN false;
    END $$;

CREATE TABLE acts (                             -- what was done to the installation
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text UNIQUE,                            -- of a breach: it pauses once
    kind text NOT NULL CHECK (kind IN ('pause', 'resume', 'migrate', 'breach')),
    subject text NOT NULL,                      -- the flag, the migration, the rule
    reason text NOT NULL CHECK (reason <> ''),
    who text NOT NULL,
    role text NOT NULL DEFAULT session_user,
    at bigint NOT NULL DEFAULT now_ms(),
    CHECK ((kind = 'breach') = (key IS NOT NULL))
);

CREATE TABLE audit_log (                        -- acts and events about money, each bound to the one before
    number bigint PRIMARY KEY CHECK (number > 0),
    at bigint NOT NULL,
    kind text NOT NULL,
    event bigint UNIQUE,                        -- the number of the event it repeats
    act bigint UNIQUE REFERENCES acts (id),
    facts jsonb NOT NULL,
    hash text NOT NULL,                         -- sha256 over the hash before it and this row
    CHECK ((event IS NULL) <> (act IS NULL))
);

CREATE TRIGGER acts_append_only BEFORE UPDATE OR DELETE ON acts
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- report_breach(key, rule, what) -> whether it is new
-- Closes everything, once for each key: who resumes despite it has decided so.
CREATE FUNCTION report_breach(breach text, rule text, what text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
    BEGIN
        INSERT INTO acts (key, kind, subject, reason, who)
        VALUES (breach, 'breach', rule, what, 'auditor')
        ON CONFLICT (key) DO NOTHING;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
        INSERT INTO flags (name, open, reason) VALUES ('all', false, what)
        ON CONFLICT (name) DO UPDATE SET open = false, reason = what, changed_at = now_ms();
        RETURN true;
    END $$;

-- What became final after a slot: the auditor looks back from where a provider stands.
CREATE INDEX attempts_by_slot ON attempts (slot) WHERE slot IS NOT NULL;
CREATE INDEX deposits_by_slot ON deposits (slot);
