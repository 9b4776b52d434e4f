-- Adding a token's feeds is an act of the operator.
-- depends: 0032.limit_acts 0050.made_feeds

ALTER TABLE acts DROP CONSTRAINT acts_kind_check;
ALTER TABLE acts ADD CONSTRAINT acts_kind_check
    CHECK (kind IN ('pause', 'resume', 'migrate', 'breach', 'push', 'restore', 'limit', 'token'));
