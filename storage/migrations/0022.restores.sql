-- After an old backup was restored, what custody once signed is read back from the chain: by
-- functions that work only while a restore is open, each for a transaction that was found there.
-- depends: 0021.divisions 0060.push

ALTER TABLE acts DROP CONSTRAINT acts_kind_check;
ALTER TABLE acts ADD CONSTRAINT acts_kind_check
    CHECK (kind IN ('pause', 'resume', 'migrate', 'breach', 'push', 'restore'));

CREATE TABLE restores (                         -- while one is open nothing is signed
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reason text NOT NULL CHECK (reason <> ''),
    begun_at bigint NOT NULL DEFAULT now_ms(),
    read_at bigint,                             -- the chain's whole history has been read
    done_at bigint
);
CREATE UNIQUE INDEX restores_one_open ON restores ((true)) WHERE done_at IS NULL;

CREATE TABLE forgotten (                        -- signed by us, final on chain, unknown to this database
    signature text PRIMARY KEY,
    slot bigint NOT NULL,
    block_at bigint NOT NULL,
    memo text NOT NULL,
    found_at bigint NOT NULL DEFAULT now_ms(),
    placed_at bigint,
    waits_for text                              -- why it could not be placed yet
);
CREATE INDEX forgotten_waiting ON forgotten (slot) WHERE placed_at IS NULL;

-- Also refuses what is not read back from the chain, while a restore is open.
CREATE OR REPLACE FUNCTION attempts_fenced() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    DECLARE newest bigint;
    BEGIN
        SELECT e.epoch INTO newest FROM lease_epochs e WHERE e.lease = 'custody' FOR SHARE;
        IF NEW.epoch <> coalesce(newest, 0) THEN
            RAISE EXCEPTION 'the custody of epoch % signs no more: this is epoch %',
                NEW.epoch, newest USING ERRCODE = 'RL001';
        END IF;
        IF NEW.raw <> '' AND EXISTS (SELECT FROM restores WHERE done_at IS NULL) THEN
            RAISE EXCEPTION 'nothing is signed while a restore is open' USING ERRCODE = 'RL002';
        END IF;
        RETURN NEW;
    END $$;
ALTER FUNCTION attempts_fenced SECURITY DEFINER SET search_path = public, pg_temp;

-- begin_restore(reason, who) -> whether none was open
-- Closes everything, and has the chain's whole history read again.
CREATE FUNCTION begin_restore(why text, by_whom text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
    BEGIN
        INSERT INTO restores (reason) VALUES (why) ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
        INSERT INTO acts (kind, subject, reason, who) VALUES ('restore', 'all', why, by_whom);
        INSERT INTO flags (name, open, reason) VALUES ('all', false, why)
        ON CONFLICT (name) DO UPDATE SET open = false, reason = why, changed_at = now_ms();
        RETURN true;
    END $$;

-- must_be_forgotten(signature) -> nothing
CREATE FUNCTION must_be_forgotten(of_signature text) RETURNS void
    LANGUAGE plpgsql
    AS $$
    BEGIN
        IF NOT EXISTS (SELECT FROM restores WHERE done_at IS NULL)
           OR NOT EXISTS (SELECT FROM forgotten
                          WHERE signature = of_signature AND placed_at IS NULL) THEN
            RAISE EXCEPTION '% was not forgotten', of_signature USING ERRCODE = 'check_violation';
        END IF;
    END $$;

-- restore_room(signature, room, vault) -> nothing
-- Of a room that is forgotten its rule is lost: no stake in it is in time, and each goes back.
CREATE FUNCTION restore_room(of_signature text, room bigint, vault text) RETURNS void
    LANGUAGE plpgsql
    AS $$
    BEGIN
        PERFORM must_be_forgotten(of_signature);
        INSERT INTO rooms (
            id, creator, feed, scale, comparator, move_bps, opened_at, lock_at, cut_at, watch_at,
            deadline_at, target_wait_ms, gap_ms_max, protocol_fee_bps, host_fee_bps,
            stake_lamports_min, stake_lamports_max, volatility_bps, guards, state, outcome,
            void_reason, decided_at)
        SELECT room, u.id, f.name, f.scale, 1, 1, 0, 1, 2, 3, 4, 1, 1, 0, 0, 1, 1, 1, '{}',
               'DECIDED', 'VOID', 'forgotten', 4
        FROM (SELECT min(id) AS id FROM users) u, (SELECT * FROM feeds ORDER BY name LIMIT 1) f
        ON CONFLICT (id) DO NOTHING;
        INSERT INTO addresses (address, kind, room_id) VALUES (vault, 'vault', room)
        ON CONFLICT DO NOTHING;
    END $$;

-- restore_stake(signature, stake, from, vault, side, lamports) -> nothing
CREATE FUNCTION restore_stake(
    of_signature text, stake bigint, source text, vault text, of_side text, amount bigint
) RETURNS void
    LANGUAGE plpgsql
    AS $$
    DECLARE
        person bigint;
        room rooms;
        bet bigint;
    BEGIN
        PERFORM must_be_forgotten(of_signature);
        SELECT user_id INTO STRICT person FROM addresses WHERE address = source AND kind = 'user';
        SELECT r.* INTO STRICT room FROM rooms r JOIN addresses a ON a.room_id = r.id
        WHERE a.address = vault FOR UPDATE OF r;
        IF room.sealed_at IS NOT NULL AND room.void_reason IS DISTINCT FROM 'forgotten' THEN
            RAISE EXCEPTION 'room % is sealed', room.id USING ERRCODE = 'check_violation';
        END IF;
        IF room.move_bps IS NULL THEN
            RAISE EXCEPTION 'room % weighs its stakes, and no weight is on chain', room.id
                USING ERRCODE = 'check_violation';
        END IF;
        INSERT INTO bets (room_id, user_id, side) VALUES (room.id, person, of_side)
        ON CONFLICT (room_id, user_id) DO NOTHING;
        SELECT id INTO STRICT bet FROM bets
        WHERE room_id = room.id AND user_id = person AND side = of_side;
        INSERT INTO stakes (id, bet_id, room_id, user_id, side, lamports, weight_bps, accepted_at)
        VALUES (stake, bet, room.id, person, of_side, amount, 10000, now_ms());
        PERFORM setval('stakes_id_seq', greatest(stake, (SELECT last_value FROM stakes_id_seq)));
        PERFORM post_legs(jsonb_build_array(
            jsonb_build_array('hold:stake:' || stake, 'available:' || person, -amount),
            jsonb_build_array('hold:stake:' || stake, 'held:' || person, amount)));
        PERFORM plan_stakes(ARRAY[stake]);
    END $$;

-- restore_withdrawal(signature, withdrawal, from, to, lamports) -> nothing
CREATE FUNCTION restore_withdrawal(
    of_signature text, withdrawal bigint, source text, destination text, amount bigint
) RETURNS void
    LANGUAGE plpgsql
    AS $$
    DECLARE person bigint;
    BEGIN
        PERFORM must_be_forgotten(of_signature);
        SELECT user_id INTO STRICT person FROM addresses WHERE address = source AND kind = 'user';
        INSERT INTO withdrawals (id, key, user_id, to_address, lamports, state, due_at)
        OVERRIDING SYSTEM VALUE
        VALUES (withdrawal, 'restored:' || of_signature, person, destination, amount, 'LEAVING',
                now_ms());
        PERFORM setval('withdrawals_id_seq',
                       greatest(withdrawal, (SELECT last_value FROM withdrawals_id_seq)));
        PERFORM post_legs(jsonb_build_array(
            jsonb_build_array('hold:withdrawal:' || withdrawal, 'available:' || person, -amount),
            jsonb_build_array('hold:withdrawal:' || withdrawal, 'held:' || person, amount)));
        PERFORM plan_withdrawals(ARRAY[withdrawal]);
    END $$;

-- restore_outcome(signature, room, outcome) -> nothing
-- What was told on chain stands, whatever this database would decide now.
CREATE FUNCTION restore_outcome(of_signature text, room bigint, told text) RETURNS void
    LANGUAGE plpgsql
    AS $$
    BEGIN
        PERFORM must_be_forgotten(of_signature);
        UPDATE rooms
        SET state = 'DECIDED', outcome = told, decided_at = coalesce(decided_at, now_ms()),
            void_reason = CASE WHEN told = 'VOID' THEN coalesce(void_reason, 'forgotten') END
        WHERE id = room AND state IN ('OPEN', 'LOCKED', 'DECIDED')
          AND outcome IS DISTINCT FROM told;
    END $$;

ALTER FUNCTION begin_restore SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION restore_room SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION restore_stake SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION restore_withdrawal SECURITY DEFINER SET search_path = public, pg_temp;
ALTER FUNCTION restore_outcome SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION begin_restore, must_be_forgotten, restore_room, restore_stake,
    restore_withdrawal, restore_outcome FROM PUBLIC;
GRANT EXECUTE ON FUNCTION begin_restore, restore_room, restore_stake, restore_withdrawal,
    restore_outcome TO rooms_custody;
GRANT SELECT ON restores, forgotten TO rooms_custody;
GRANT UPDATE (read_at, done_at) ON restores TO rooms_custody;
GRANT INSERT (signature, slot, block_at, memo) ON forgotten TO rooms_custody;
GRANT UPDATE (placed_at, waits_for) ON forgotten TO rooms_custody;
