-- Certificates that were found after a restore and that nobody here knows: revoked for ever.
CREATE TABLE strays (
    serial BLOB PRIMARY KEY CHECK (length(serial) BETWEEN 1 AND 20),
    at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    invalidity_date INTEGER,
    not_after INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER strays_stay BEFORE DELETE ON strays
BEGIN SELECT RAISE(ABORT, 'a serial number that was used stays so'); END;
CREATE TRIGGER strays_are_final BEFORE UPDATE ON strays
BEGIN SELECT RAISE(ABORT, 'a revocation is never changed'); END;
CREATE TRIGGER intents_are_no_strays BEFORE INSERT ON intents
WHEN EXISTS (SELECT 1 FROM strays WHERE serial = NEW.serial)
BEGIN SELECT RAISE(ABORT, 'the serial number was used before the restore'); END;
-- What was begun in the copy, and revoked since, is not ended a second time.
CREATE TRIGGER documents_are_no_strays BEFORE INSERT ON documents
WHEN EXISTS (SELECT 1 FROM strays WHERE serial = NEW.serial)
BEGIN SELECT RAISE(ABORT, 'the serial number was revoked before the restore'); END;

-- Where this file comes from, in one row.
CREATE TABLE provenance (
    number INTEGER PRIMARY KEY CHECK (number = 1),
    -- How often it was reconciled after a restore.
    epoch INTEGER NOT NULL,
    -- Whether there is a witness of it.
    witnessed INTEGER NOT NULL CHECK (witnessed IN (0, 1)),
    -- For a copy that nobody has looked at: the newest audit record when it was made.
    copied INTEGER
) STRICT;
INSERT INTO provenance (number, epoch, witnessed) VALUES (1, 0, 0);
