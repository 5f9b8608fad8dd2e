-- Tickets for agents on holders' computers, the exchanges that they open, and the marks of keys that agents asked certificates
-- for. A ticket and an exchange end with the session that the ticket was made in.
CREATE TABLE sessions_of_today (
    key BLOB PRIMARY KEY CHECK (length(key) = 32),
    kind TEXT NOT NULL CHECK (kind IN ('portal', 'code_sent', 'code_used', 'proven', 'ticket', 'program_key',
        'agent_ticket', 'agent_used', 'agent_opened', 'agent_confirmed', 'agent_exhausted',
        'enrolment_ticket', 'enrolment_used', 'enrolment_opened', 'agent_key')),
    subject TEXT,
    certificate BLOB,
    -- Of an agent: the hash of the digits; in an enrolment the token of its session, sealed.
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
    -- The ticket that opened an exchange.
    opened_by BLOB CHECK (length(opened_by) = 32),
    opened_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    CHECK ((kind IN ('code_sent', 'code_used')) = (typed_id IS NOT NULL)),
    CHECK ((kind IN ('ticket', 'agent_ticket', 'agent_used', 'agent_opened', 'agent_confirmed', 'agent_exhausted',
        'enrolment_ticket', 'enrolment_used', 'enrolment_opened')) = (made_in IS NOT NULL)),
    CHECK ((kind IN ('agent_ticket', 'agent_used', 'agent_opened', 'agent_confirmed', 'agent_exhausted'))
        <= (subject IS NOT NULL AND certificate IS NOT NULL AND renewal IS NOT NULL)),
    CHECK ((kind = 'agent_opened') = (opened_by IS NOT NULL)),
    CHECK (kind NOT IN ('program_key', 'agent_key') OR (subject IS NULL AND renewal IS NOT NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO sessions_of_today (key, kind, subject, certificate, code, code_tries, code_until, typed_id, renewal,
        previous_sign_in, made_in, opened_at, seen_at, ends_at)
    SELECT key, kind, subject, certificate, code, code_tries, code_until, typed_id, renewal,
        previous_sign_in, made_in, opened_at, seen_at, ends_at FROM sessions;
DROP TABLE sessions;
ALTER TABLE sessions_of_today RENAME TO sessions;
CREATE INDEX sessions_by_end ON sessions (ends_at);
-- A changed password or address ends them all.
CREATE INDEX sessions_by_subject ON sessions (subject) WHERE subject IS NOT NULL;
