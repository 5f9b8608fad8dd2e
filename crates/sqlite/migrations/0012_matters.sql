-- Whose registered address a mail goes to, where that is not the holder of the certificate it is about: it is asked again
-- when the mail is claimed. What goes to the operator has nobody here.
ALTER TABLE outbox ADD COLUMN addressee INTEGER REFERENCES subjects (number);
CREATE INDEX outbox_addressee ON outbox (addressee) WHERE addressee IS NOT NULL;
CREATE INDEX outbox_escalations ON outbox (certificate) WHERE kind = 'escalation_administrator';
-- What a day is summed up from.
CREATE INDEX outbox_recorded ON outbox (recorded_at, disposition) WHERE state = 'done';
CREATE INDEX certificates_issued ON certificates (issued_at);
-- The tasks that a holder is shown at a login.
CREATE INDEX outbox_tasks_of ON outbox (subject, recorded_at, id)
WHERE disposition IN ('undeliverable', 'bounced', 'unknown') AND state = 'done' AND settled = 0;

-- What has to be told once, and since when it has to be looked at: a certificate whose holder may have to be told of to
-- others ('ignored'), an open permission to obtain one ('permission'), an address that refuses mails ('address').
CREATE TABLE matters (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('ignored', 'permission', 'address')),
    subject INTEGER NOT NULL REFERENCES subjects (number),
    certificate INTEGER REFERENCES certificates (number),
    -- Of a permission its end, of an address when it refused first.
    at INTEGER,
    look_at INTEGER,
    over INTEGER NOT NULL DEFAULT 0 CHECK (over IN (0, 1)),
    CHECK ((kind = 'ignored') = (certificate IS NOT NULL)),
    CHECK ((kind = 'ignored') = (at IS NULL)),
    CHECK (over = 0 OR look_at IS NULL)
) STRICT;
CREATE UNIQUE INDEX matters_once ON matters (subject, kind, coalesce(certificate, 0));
CREATE INDEX matters_due ON matters (look_at) WHERE look_at IS NOT NULL;

-- A second notice about a certificate was told, or counts without a mail: the steward finds out when to tell others.
CREATE TRIGGER outbox_makes_a_matter AFTER UPDATE OF state ON outbox
WHEN NEW.state = 'done' AND NEW.kind = 'expiry' AND NEW.certificate IS NOT NULL
BEGIN
    INSERT INTO matters (kind, subject, certificate, look_at)
    SELECT 'ignored', c.subject, c.number, NEW.recorded_at FROM certificates AS c
    WHERE c.number = NEW.certificate AND c.status = 'active'
        AND (SELECT count(*) FROM notices AS n WHERE n.certificate = c.number) > 1
    ON CONFLICT DO UPDATE SET look_at = excluded.look_at WHERE matters.over = 0;
END;
CREATE TRIGGER notices_make_a_matter AFTER INSERT ON notices WHEN NEW.mail IS NULL
BEGIN
    INSERT INTO matters (kind, subject, certificate, look_at)
    SELECT 'ignored', c.subject, c.number, NEW.planned_at FROM certificates AS c
    WHERE c.number = NEW.certificate AND c.status = 'active'
        AND (SELECT count(*) FROM notices AS n WHERE n.certificate = c.number) > 1
    ON CONFLICT DO UPDATE SET look_at = excluded.look_at WHERE matters.over = 0;
END;
CREATE TRIGGER certificates_end_a_matter AFTER UPDATE OF status ON certificates
WHEN OLD.status = 'active' AND NEW.status <> 'active'
BEGIN
    UPDATE matters SET look_at = NULL, over = 1
    WHERE subject = NEW.subject AND kind = 'ignored' AND certificate = NEW.number;
    UPDATE outbox SET state = 'waiting', fence = fence + 1, claimable_from = planned_at
    WHERE state = 'claimed' AND kind = 'escalation_administrator' AND certificate = NEW.number;
END;

-- A permission that is used, withdrawn or another one by now; the commit that gives one opens its matter after this.
CREATE TRIGGER subjects_end_a_permission AFTER UPDATE OF grant_until ON subjects WHEN NEW.grant_until IS NOT OLD.grant_until
BEGIN
    DELETE FROM matters WHERE subject = NEW.number AND kind = 'permission';
    UPDATE outbox SET state = 'waiting', fence = fence + 1, claimable_from = planned_at
    WHERE state = 'claimed' AND kind = 'enrolment_reminder' AND addressee = NEW.number;
END;

-- A mail to a registered address was refused for ever or came back: told once, until the address is another one.
CREATE TRIGGER outbox_finds_an_address AFTER UPDATE OF disposition ON outbox
WHEN NEW.state = 'done' AND NEW.disposition IN ('undeliverable', 'bounced') AND NEW.settled = 0 AND NEW.recipient IS NOT NULL
BEGIN
    INSERT INTO matters (kind, subject, at, look_at)
    SELECT 'address', s.number, NEW.recorded_at, NEW.recorded_at FROM subjects AS s
    WHERE s.address IS NOT NULL AND (s.number = NEW.addressee OR (NEW.addressee IS NULL AND s.id = NEW.subject
        AND NEW.kind NOT GLOB '*_administrator' AND NEW.kind <> 'operator_summary'))
    ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER subjects_end_an_address AFTER UPDATE OF address ON subjects WHEN NEW.address IS NOT OLD.address
BEGIN
    DELETE FROM matters WHERE subject = NEW.number AND kind = 'address';
    UPDATE outbox SET state = 'waiting', fence = fence + 1, claimable_from = planned_at
    WHERE state = 'claimed' AND addressee = NEW.number;
    UPDATE outbox SET settled = 1 WHERE disposition IN ('undeliverable', 'bounced', 'unknown') AND state = 'done'
        AND settled = 0 AND addressee = NEW.number;
END;

-- What is open already: the steward finds out what there is to be told. Permissions had been given for 80 days.
INSERT INTO matters (kind, subject, certificate, look_at)
    SELECT 'ignored', c.subject, c.number, 0 FROM schedule AS d JOIN certificates AS c ON c.number = d.certificate
    WHERE (SELECT count(*) FROM notices AS n WHERE n.certificate = c.number) > 1;
INSERT INTO matters (kind, subject, at, look_at)
    SELECT 'permission', number, grant_until, grant_until - 864000000 FROM subjects WHERE grant_until IS NOT NULL;

-- Whether an organization wants one digest instead of many mails to its administrators, and for when its last one was due.
-- A mail that is left to the next digest is 'suppressed_in_digest', and settled once there was one.
ALTER TABLE organizations ADD COLUMN digests INTEGER NOT NULL DEFAULT 1 CHECK (digests IN (0, 1));
ALTER TABLE organizations ADD COLUMN digest_due INTEGER;
CREATE INDEX organizations_digested ON organizations (digest_due, id) WHERE digests = 1;

-- Before which instant everything was told to the operator.
CREATE TABLE summaries (
    number INTEGER PRIMARY KEY CHECK (number = 1),
    until INTEGER NOT NULL
) STRICT;
