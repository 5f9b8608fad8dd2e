-- The ledger of one CA. Times are milliseconds since 1970, validities and the dates of lists seconds. Serial numbers are
-- big-endian, filled up with zeros to 20 octets, so that their order is that of the numbers; they begin with the time, so that
-- their index is appended to. What a unique index or a trigger says here holds whatever program writes to this file.

CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    subject TEXT,
    -- 1: something below was changed by it; 0: a note.
    fact INTEGER NOT NULL CHECK (fact IN (0, 1)),
    word TEXT NOT NULL,
    body TEXT NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TRIGGER audit_stays BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'an audit record is never deleted'); END;
CREATE TRIGGER audit_is_final BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'an audit record is never changed'); END;

-- What was promised to be signed, before it was. Keys stay used, whatever became of them.
CREATE TABLE entries (
    -- The audit record that says so.
    number INTEGER PRIMARY KEY REFERENCES audit (sequence),
    serial BLOB NOT NULL UNIQUE CHECK (length(serial) = 20),
    spki BLOB NOT NULL UNIQUE CHECK (length(spki) = 32),
    renewal BLOB NOT NULL UNIQUE CHECK (length(renewal) = 16),
    client TEXT NOT NULL,
    profile TEXT NOT NULL,
    organization TEXT NOT NULL,
    subject TEXT NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    at INTEGER NOT NULL,
    tbs BLOB NOT NULL
) STRICT;

CREATE TRIGGER entries_stay BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'an entry is never deleted'); END;
CREATE TRIGGER entries_are_final BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'an entry is never changed'); END;

-- What was signed.
CREATE TABLE certificates (
    entry INTEGER PRIMARY KEY REFERENCES entries (number),
    der BLOB NOT NULL
) STRICT;

CREATE TRIGGER certificates_stay BEFORE DELETE ON certificates
BEGIN SELECT RAISE(ABORT, 'a certificate is never deleted'); END;
CREATE TRIGGER certificates_are_final BEFORE UPDATE ON certificates
BEGIN SELECT RAISE(ABORT, 'a certificate is never changed'); END;
CREATE TRIGGER certificates_of_the_abandoned BEFORE INSERT ON certificates
WHEN EXISTS (SELECT 1 FROM entries AS e JOIN revocations AS r ON r.serial = e.serial WHERE e.number = NEW.entry)
BEGIN SELECT RAISE(ABORT, 'what was abandoned gets no certificate'); END;

-- What was revoked (with a certificate), abandoned (without one) or adopted (after a restore, with no entry). In the order of
-- a revocation list and with all that it needs.
CREATE TABLE revocations (
    serial BLOB PRIMARY KEY CHECK (length(serial) = 20),
    kind TEXT NOT NULL CHECK (kind IN ('revoked', 'abandoned', 'adopted')),
    at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    invalidity_date INTEGER,
    not_after INTEGER NOT NULL,
    revoked_by TEXT NOT NULL,
    -- Put together when it is revoked, not whenever a list is read.
    packed TEXT GENERATED ALWAYS AS
        (hex(serial) || at || ',' || reason || ',' || coalesce(invalidity_date, '') || ',' || not_after || ';') STORED
) STRICT, WITHOUT ROWID;

CREATE TRIGGER revocations_stay BEFORE DELETE ON revocations
BEGIN SELECT RAISE(ABORT, 'a revocation is never taken back'); END;
CREATE TRIGGER revocations_are_final BEFORE UPDATE ON revocations
BEGIN SELECT RAISE(ABORT, 'a revocation is never changed'); END;
CREATE TRIGGER revocations_fit BEFORE INSERT ON revocations
WHEN NEW.kind <> coalesce((
    SELECT CASE WHEN c.entry IS NULL THEN 'abandoned' ELSE 'revoked' END
    FROM entries AS e LEFT JOIN certificates AS c ON c.entry = e.number WHERE e.serial = NEW.serial), 'adopted')
BEGIN SELECT RAISE(ABORT, 'only what has a certificate is revoked, only what has none abandoned'); END;

-- What is begun and not ended.
CREATE TABLE unfinished (
    entry INTEGER PRIMARY KEY REFERENCES entries (number)
) STRICT;

CREATE TRIGGER entries_begin AFTER INSERT ON entries
BEGIN INSERT INTO unfinished (entry) VALUES (NEW.number); END;
CREATE TRIGGER certificates_end AFTER INSERT ON certificates
BEGIN DELETE FROM unfinished WHERE entry = NEW.entry; END;
CREATE TRIGGER revocations_end AFTER INSERT ON revocations WHEN NEW.kind = 'abandoned'
BEGIN DELETE FROM unfinished WHERE entry = (SELECT number FROM entries WHERE serial = NEW.serial); END;
CREATE TRIGGER unfinished_stays BEFORE DELETE ON unfinished
WHEN NOT EXISTS (SELECT 1 FROM certificates WHERE entry = OLD.entry)
    AND NOT EXISTS (SELECT 1 FROM entries AS e JOIN revocations AS r ON r.serial = e.serial WHERE e.number = OLD.entry)
BEGIN SELECT RAISE(ABORT, 'what is begun is issued or abandoned'); END;

-- What others have to learn of, by the audit record that says so.
CREATE TABLE changes (
    sequence INTEGER PRIMARY KEY REFERENCES audit (sequence),
    entry INTEGER NOT NULL REFERENCES entries (number),
    kind TEXT NOT NULL CHECK (kind IN ('issued', 'revoked', 'abandoned'))
) STRICT;

CREATE TRIGGER changes_stay BEFORE DELETE ON changes
BEGIN SELECT RAISE(ABORT, 'a change is never deleted'); END;
CREATE TRIGGER changes_are_final BEFORE UPDATE ON changes
BEGIN SELECT RAISE(ABORT, 'a change is never changed'); END;

-- The largest instant that was recorded, in one row.
CREATE TABLE clock (
    number INTEGER PRIMARY KEY CHECK (number = 1),
    largest INTEGER,
    -- The audit record of the newest confirmation.
    confirmed INTEGER NOT NULL
) STRICT;
INSERT INTO clock (number, largest, confirmed) VALUES (1, NULL, 0);

CREATE TRIGGER audit_moves_the_clock AFTER INSERT ON audit
WHEN NEW.at > (SELECT coalesce(largest, NEW.at - 1) FROM clock WHERE number = 1)
BEGIN UPDATE clock SET largest = NEW.at WHERE number = 1; END;
CREATE TRIGGER clock_stays BEFORE DELETE ON clock
BEGIN SELECT RAISE(ABORT, 'the time that was recorded is never forgotten'); END;
CREATE TRIGGER clock_goes_back_when_confirmed BEFORE UPDATE OF largest ON clock
WHEN coalesce(NEW.largest, 0) < OLD.largest AND NEW.confirmed = OLD.confirmed
BEGIN SELECT RAISE(ABORT, 'only a confirmation makes the recorded time smaller'); END;

-- The newest edition of the revocation list that may have been signed, and the newest that could be fetched.
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

-- Serial numbers and keys of certificates that were found after a restore and have no entry.
CREATE TABLE strays (
    serial BLOB PRIMARY KEY CHECK (length(serial) = 20),
    spki BLOB UNIQUE CHECK (length(spki) = 32)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER strays_stay BEFORE DELETE ON strays
BEGIN SELECT RAISE(ABORT, 'a serial number that was used stays so'); END;
CREATE TRIGGER entries_are_no_strays BEFORE INSERT ON entries
WHEN EXISTS (SELECT 1 FROM strays WHERE serial = NEW.serial) OR EXISTS (SELECT 1 FROM strays WHERE spki = NEW.spki)
BEGIN SELECT RAISE(ABORT, 'the serial number or the key was used before the restore'); END;

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
