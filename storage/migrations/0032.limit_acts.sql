-- A changed limit is an act.
-- depends: 0030.withdrawals 0022.restores 0060.push

ALTER TABLE acts DROP CONSTRAINT acts_kind_check;
ALTER TABLE acts ADD CONSTRAINT acts_kind_check
    CHECK (kind IN ('pause', 'resume', 'migrate', 'breach', 'push', 'restore', 'limit'));
