-- The newest revocation lists: the one that may have been signed, and the one that could be fetched. Dates in seconds.
CREATE TABLE editions (
    state TEXT PRIMARY KEY CHECK (state IN ('reserved', 'published')),
    number INTEGER NOT NULL,
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL,
    CHECK (next_update > this_update)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER editions_stay BEFORE DELETE ON editions
BEGIN SELECT RAISE(ABORT, 'the number of a revocation list is never forgotten'); END;
CREATE TRIGGER editions_grow BEFORE UPDATE ON editions
WHEN NEW.state <> OLD.state OR NEW.number <= OLD.number OR NEW.this_update < OLD.this_update
BEGIN SELECT RAISE(ABORT, 'the number of a revocation list only grows'); END;

-- A revocation list is read from this alone, in the order of the numbers (shorter ones are smaller), and its entries are
-- put together when they are revoked, not when they are read.
DROP INDEX certificates_revoked;
CREATE INDEX certificates_revoked ON certificates
    (length(serial), serial, hex(serial) || ' ' || status_at || ' ' || reason || ' ' || not_after || ' ', status)
    WHERE status = 'revoked';
