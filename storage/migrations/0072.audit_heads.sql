-- Custody puts the end of the audit log on the chain.
-- depends: 0071.evidence

GRANT SELECT (number, event, hash) ON audit_log TO rooms_custody;
CREATE INDEX attempts_of_heads ON attempts (memo) WHERE memo LIKE 'r1 audit %';
