-- Limits of withdrawals as rows that the money transaction reads; people's address books; when a
-- withdrawal left; withdrawals that are called off.
-- depends: 0003.open_rooms

CREATE TABLE withdrawal_limits (                -- settings, taken over by `rooms migrate`
    name text PRIMARY KEY,
    value bigint NOT NULL CHECK (value >= 0),
    changed_at bigint NOT NULL DEFAULT now_ms()
);
INSERT INTO withdrawal_limits (name, value) VALUES
    ('lamports_min', 2000000),
    ('free_lamports_day', 500000000),
    ('pin_only_lamports_day', 0),
    ('cool_down_ms', 86400000),
    ('delay_ms', 7200000),
    ('large_lamports', 20000000000),
    ('large_delay_ms', 86400000),
    ('person_lamports_hour_max', 50000000000),
    ('person_lamports_day_max', 100000000000),
    ('address_lamports_hour_max', 50000000000),
    ('address_lamports_day_max', 100000000000),
    ('all_lamports_hour_max', 500000000000),
    ('all_lamports_day_max', 2000000000000),
    ('winnings_ms', 90000),
    ('large_pool_lamports', 50000000000),
    ('large_pool_winnings_ms', 900000);

-- A changed limit is an act, whoever changed it and how.
CREATE FUNCTION limit_is_an_act() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    BEGIN
        INSERT INTO acts (kind, subject, reason, who)
        VALUES ('limit', NEW.name, OLD.value || ' is now ' || NEW.value,
                coalesce(nullif(current_setting('rooms.who', true), ''), session_user));
        RETURN NULL;
    END $$;
CREATE TRIGGER limit_is_an_act AFTER UPDATE ON withdrawal_limits
    FOR EACH ROW WHEN (OLD.value <> NEW.value) EXECUTE FUNCTION limit_is_an_act();

CREATE TABLE address_book (                     -- where people send to, and since when
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users (id),
    address text NOT NULL,
    added_at bigint NOT NULL DEFAULT now_ms(),
    removed_at bigint
);
CREATE UNIQUE INDEX address_book_one ON address_book (user_id, address) WHERE removed_at IS NULL;

ALTER TABLE withdrawals
    ADD COLUMN left_at bigint,                  -- when it was handed to custody
    ADD COLUMN cancel_asked_at bigint;          -- its owner wants it back
CREATE INDEX withdrawals_by_address ON withdrawals (to_address, asked_at);
CREATE INDEX withdrawals_by_leaving ON withdrawals (left_at) WHERE left_at IS NOT NULL;

-- What a person asks for is held against the person's and the address's limits when it is allowed,
-- what leaves against the limits of the place when it leaves; one at a time, whoever writes.
CREATE FUNCTION withdrawals_within_limits() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    DECLARE broken text;
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtext('rooms.withdrawals'));
        IF NEW.state = 'LEAVING' THEN
            NEW.left_at := now_ms();
        END IF;
        SELECT s.name INTO broken
        FROM (VALUES ('person_lamports_hour_max', 'WAITING', 3600000),
                     ('person_lamports_day_max', 'WAITING', 86400000),
                     ('address_lamports_hour_max', 'WAITING', 3600000),
                     ('address_lamports_day_max', 'WAITING', 86400000),
                     ('all_lamports_hour_max', 'LEAVING', 3600000),
                     ('all_lamports_day_max', 'LEAVING', 86400000)) AS s (name, state, span_ms)
        LEFT JOIN withdrawal_limits l ON l.name = s.name
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(w.lamports), 0) AS lamports
            FROM withdrawals w
            WHERE w.id <> NEW.id
              AND w.state IN ('WAITING', 'LEAVING', 'PAID')
              AND CASE split_part(s.name, '_', 1)
                      WHEN 'person' THEN w.user_id = NEW.user_id
                                         AND w.asked_at > now_ms() - s.span_ms
                      WHEN 'address' THEN w.to_address = NEW.to_address
                                          AND w.asked_at > now_ms() - s.span_ms
                      ELSE w.left_at > now_ms() - s.span_ms
                  END
        ) so_far
        WHERE s.state = NEW.state
          AND so_far.lamports + NEW.lamports > coalesce(l.value, 0)
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'withdrawal % is above %', NEW.id, broken
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END $$;
CREATE TRIGGER withdrawals_within_limits BEFORE UPDATE OF state ON withdrawals
    FOR EACH ROW
    WHEN (NEW.state IN ('WAITING', 'LEAVING') AND NEW.state IS DISTINCT FROM OLD.state)
    EXECUTE FUNCTION withdrawals_within_limits();

-- The worker gives back what was held for a withdrawal that was never planned.
CREATE OR REPLACE FUNCTION entries_by_right() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    DECLARE wrong text;
    BEGIN
        IF pg_has_role(session_user, current_user, 'MEMBER') THEN
            RETURN NULL;
        END IF;
        SELECT key INTO wrong FROM fresh
        WHERE NOT CASE session_user
            WHEN 'rooms_worker' THEN
                split_part(key, ':', 1) IN ('hold', 'settlement')
                OR (key LIKE 'release:withdrawal:%'
                    AND EXISTS (SELECT FROM withdrawals w
                                WHERE w.id::text = split_part(key, ':', 3)
                                  AND w.state = 'RELEASED' AND w.left_at IS NULL))
            WHEN 'rooms_custody' THEN split_part(key, ':', 1) NOT IN ('hold', 'settlement')
            ELSE false
        END
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION '% may not post %', session_user, wrong
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN NULL;
    END $$;

GRANT SELECT ON withdrawal_limits TO rooms_worker, rooms_custody, rooms_bot;
GRANT SELECT ON address_book TO rooms_worker, rooms_bot;
GRANT UPDATE (left_at) ON withdrawals TO rooms_worker;
GRANT UPDATE (cancel_asked_at) ON withdrawals TO rooms_bot;
GRANT INSERT (user_id, address), UPDATE (removed_at) ON address_book TO rooms_bot;
