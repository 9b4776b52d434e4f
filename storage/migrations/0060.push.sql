-- Push feeds: who may sign their values is written down as what an operator did.
-- depends: 0050.made_feeds

ALTER TABLE acts DROP CONSTRAINT acts_kind_check;
ALTER TABLE acts ADD CONSTRAINT acts_kind_check
    CHECK (kind IN ('pause', 'resume', 'migrate', 'breach', 'push'));
