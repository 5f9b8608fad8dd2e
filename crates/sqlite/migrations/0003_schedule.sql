-- The certificates in use, each with the instant at which its notices of expiry have to be looked at again. Narrow on
-- purpose: a sweep reads what is due and nothing else.
CREATE TABLE schedule (
    certificate INTEGER PRIMARY KEY REFERENCES certificates (number),
    not_after INTEGER NOT NULL,
    -- 1 once it was planned by the policy of schedule_policy, 2 when that was by an older one.
    planned INTEGER NOT NULL DEFAULT 0 CHECK (planned IN (0, 1, 2)),
    next_look INTEGER CHECK (next_look IS NULL OR planned = 1),
    -- Grows with every plan and with whatever becomes of a notice: a plan is stored only on the one it was decided on.
    revision INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX schedule_by_end ON schedule (planned, not_after);
CREATE INDEX schedule_due ON schedule (next_look) WHERE next_look IS NOT NULL;
INSERT INTO schedule (certificate, not_after) SELECT number, not_after FROM certificates WHERE status = 'active';

CREATE TRIGGER certificates_added_in_use AFTER INSERT ON certificates WHEN NEW.status = 'active'
BEGIN INSERT INTO schedule (certificate, not_after) VALUES (NEW.number, NEW.not_after); END;
CREATE TRIGGER certificates_taken_into_use AFTER UPDATE OF status ON certificates
WHEN NEW.status = 'active' AND OLD.status <> 'active'
BEGIN INSERT INTO schedule (certificate, not_after) VALUES (NEW.number, NEW.not_after); END;
CREATE TRIGGER certificates_out_of_use AFTER UPDATE OF status ON certificates
WHEN OLD.status = 'active' AND NEW.status <> 'active'
BEGIN DELETE FROM schedule WHERE certificate = OLD.number; END;

-- The policy that everything planned was planned by.
CREATE TABLE schedule_policy (
    number INTEGER PRIMARY KEY CHECK (number = 1),
    mark BLOB NOT NULL CHECK (length(mark) = 16)
) STRICT;

-- What became of a threshold: a mail, or closed together with a more urgent one, or (neither) no address to tell it to.
CREATE TABLE notices (
    certificate INTEGER NOT NULL REFERENCES certificates (number),
    threshold INTEGER NOT NULL CHECK (threshold >= 0),
    mail INTEGER REFERENCES outbox (number),
    closed_with INTEGER CHECK (closed_with < threshold),
    planned_at INTEGER NOT NULL,
    PRIMARY KEY (certificate, threshold),
    CHECK (mail IS NULL OR closed_with IS NULL)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER notices_stay BEFORE DELETE ON notices WHEN OLD.closed_with IS NULL
BEGIN SELECT RAISE(ABORT, 'a notice that was owed is never forgotten'); END;
CREATE TRIGGER notices_are_final BEFORE UPDATE ON notices
WHEN OLD.closed_with IS NULL OR NEW.certificate <> OLD.certificate OR NEW.threshold <> OLD.threshold
BEGIN SELECT RAISE(ABORT, 'a notice that was owed is never changed'); END;

-- The certificate that a notice of expiry is about, instead of what was to find it by.
ALTER TABLE outbox ADD COLUMN certificate INTEGER REFERENCES certificates (number);
ALTER TABLE outbox DROP COLUMN not_after;

CREATE TRIGGER outbox_tells_the_schedule AFTER UPDATE OF state ON outbox
WHEN NEW.certificate IS NOT NULL AND NEW.state <> 'claimed'
BEGIN UPDATE schedule SET revision = revision + 1 WHERE certificate = NEW.certificate; END;
