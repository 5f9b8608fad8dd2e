-- Certificates that were found after a restore are changes that others have to learn of, too. For whom they were issued is lost
-- with their entries, so everybody is told.
CREATE TABLE stray_changes (
    sequence INTEGER PRIMARY KEY REFERENCES audit (sequence),
    serial BLOB NOT NULL UNIQUE REFERENCES revocations (serial)
) STRICT;

CREATE TRIGGER stray_changes_stay BEFORE DELETE ON stray_changes
BEGIN SELECT RAISE(ABORT, 'a change is never deleted'); END;
CREATE TRIGGER stray_changes_are_final BEFORE UPDATE ON stray_changes
BEGIN SELECT RAISE(ABORT, 'a change is never changed'); END;

-- Those of before. Their records name serial numbers without leading zeros.
INSERT INTO stray_changes (sequence, serial)
SELECT a.sequence, r.serial FROM audit AS a JOIN revocations AS r
    ON r.kind = 'adopted' AND hex(r.serial) = substr('0000000000000000000000000000000000000000' || json_extract(a.body, '$.serial'), -40)
WHERE a.word = 'adopted' AND a.fact = 1;
