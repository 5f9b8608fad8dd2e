-- Tries are counted under the ID as it was typed, and a code that was used is remembered until its end. The one-time codes
-- of before cannot say for which ID they were asked; they last ten minutes and are asked for anew.
CREATE TABLE sessions_of_today (
    key BLOB PRIMARY KEY CHECK (length(key) = 32),
    kind TEXT NOT NULL CHECK (kind IN ('portal', 'code_sent', 'code_used', 'proven')),
    subject TEXT,
    certificate BLOB,
    code BLOB,
    code_tries INTEGER,
    code_until INTEGER,
    -- SHA-256 of the ID as it was typed.
    typed_id BLOB CHECK (length(typed_id) = 32),
    renewal BLOB,
    opened_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    CHECK ((kind IN ('code_sent', 'code_used')) = (typed_id IS NOT NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO sessions_of_today (key, kind, subject, certificate, renewal, opened_at, seen_at, ends_at)
    SELECT key, kind, subject, certificate, renewal, opened_at, seen_at, ends_at FROM sessions
    WHERE kind <> 'code_sent';
DROP TABLE sessions;
ALTER TABLE sessions_of_today RENAME TO sessions;
CREATE INDEX sessions_by_end ON sessions (ends_at);
-- A changed password or address ends them all.
CREATE INDEX sessions_by_subject ON sessions (subject) WHERE subject IS NOT NULL;
