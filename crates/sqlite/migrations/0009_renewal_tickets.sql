-- Renewal tickets, each good only while the session that it was made in goes on, and the marks of keys that programs asked
-- certificates for.
CREATE TABLE sessions_of_today (
    key BLOB PRIMARY KEY CHECK (length(key) = 32),
    kind TEXT NOT NULL CHECK (kind IN ('portal', 'code_sent', 'code_used', 'proven', 'ticket', 'program_key')),
    subject TEXT,
    certificate BLOB,
    code BLOB,
    code_tries INTEGER,
    code_until INTEGER,
    -- SHA-256 of the ID as it was typed.
    typed_id BLOB CHECK (length(typed_id) = 32),
    renewal BLOB,
    -- When the subject of a portal session had signed in before it was opened.
    previous_sign_in INTEGER,
    -- The session that a ticket was made in.
    made_in BLOB CHECK (length(made_in) = 32),
    opened_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    CHECK ((kind IN ('code_sent', 'code_used')) = (typed_id IS NOT NULL)),
    CHECK ((kind = 'ticket') = (made_in IS NOT NULL)),
    CHECK (kind <> 'program_key' OR (subject IS NULL AND renewal IS NOT NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO sessions_of_today (key, kind, subject, certificate, code, code_tries, code_until, typed_id, renewal,
        previous_sign_in, opened_at, seen_at, ends_at)
    SELECT key, kind, subject, certificate, code, code_tries, code_until, typed_id, renewal,
        previous_sign_in, opened_at, seen_at, ends_at FROM sessions;
DROP TABLE sessions;
ALTER TABLE sessions_of_today RENAME TO sessions;
CREATE INDEX sessions_by_end ON sessions (ends_at);
-- A changed password or address ends them all.
CREATE INDEX sessions_by_subject ON sessions (subject) WHERE subject IS NOT NULL;
