-- Which mails leave first; the numbers are those of the outbox's port, 0 for the most urgent.
ALTER TABLE outbox ADD COLUMN urgency INTEGER NOT NULL DEFAULT 1 CHECK (urgency BETWEEN 0 AND 4);
UPDATE outbox SET urgency = CASE kind WHEN 'enrolment_code' THEN 0 WHEN 'enrolment_permitted' THEN 3 WHEN 'expiry' THEN
    iif((SELECT n.threshold <= 14 FROM notices AS n WHERE n.certificate = outbox.certificate AND n.mail = outbox.number), 2, 3)
    ELSE 1 END;
DROP INDEX outbox_claimable;
CREATE INDEX outbox_claimable ON outbox (urgency, claimable_from) WHERE claimable_from IS NOT NULL;

-- A hash of the address that the mail was last claimed for, by which is counted what an address was told.
ALTER TABLE outbox ADD COLUMN recipient BLOB CHECK (length(recipient) = 16);
CREATE INDEX outbox_told ON outbox (recipient, recorded_at) WHERE recipient IS NOT NULL;

-- A mail that reached nobody is a task until somebody has seen to it.
ALTER TABLE outbox ADD COLUMN settled INTEGER NOT NULL DEFAULT 0 CHECK (settled IN (0, 1));
CREATE INDEX outbox_tasks ON outbox (recorded_at, id)
WHERE disposition IN ('undeliverable', 'bounced', 'unknown') AND state = 'done' AND settled = 0;

-- Another address, or a certificate out of use: whoever has claimed a notice and not begun to send it is overtaken.
CREATE TRIGGER subjects_readdressed AFTER UPDATE OF address ON subjects WHEN NEW.address IS NOT OLD.address
BEGIN
    UPDATE outbox SET state = 'waiting', fence = fence + 1, claimable_from = planned_at
    WHERE state = 'claimed' AND number IN (SELECT n.mail FROM certificates AS c
        JOIN notices AS n ON n.certificate = c.number WHERE c.subject = NEW.number AND c.status = 'active');
    -- What did not reach the holder at the old address is seen to; what went to administrators went elsewhere.
    UPDATE outbox SET settled = 1 WHERE disposition IN ('undeliverable', 'bounced', 'unknown') AND state = 'done'
        AND settled = 0 AND subject = NEW.id AND kind NOT GLOB '*_administrator';
END;
CREATE TRIGGER certificates_silenced AFTER UPDATE OF status ON certificates
WHEN OLD.status = 'active' AND NEW.status <> 'active'
BEGIN
    UPDATE outbox SET state = 'waiting', fence = fence + 1, claimable_from = planned_at
    WHERE state = 'claimed' AND number IN (SELECT mail FROM notices WHERE certificate = NEW.number);
END;
