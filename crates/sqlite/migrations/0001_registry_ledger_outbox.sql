-- Times are milliseconds since 1970, validities seconds. Serial numbers are big-endian octets without leading zeros and
-- begin with the time, so that their indexes are appended to. What a partial unique index or a trigger says here holds
-- whatever program writes to this file.

CREATE TABLE organizations (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL
) STRICT;

CREATE TABLE subjects (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    organization INTEGER NOT NULL REFERENCES organizations (number),
    role TEXT NOT NULL CHECK (role IN ('administrator', 'user')),
    name TEXT NOT NULL,
    language TEXT NOT NULL CHECK (language IN ('ja', 'en')),
    address TEXT,
    address_rests_until INTEGER,
    password_hash TEXT,
    last_sign_in INTEGER,
    -- A commit sets this to NULL, which is refused, when the version is not the one it was decided on.
    version INTEGER NOT NULL,
    wake_at INTEGER,
    grant_until INTEGER,
    -- The open renewal, or the last one that ended.
    renewal BLOB REFERENCES renewals (id)
) STRICT;
CREATE INDEX subjects_by_organization ON subjects (organization, id);
CREATE INDEX subjects_overdue ON subjects (wake_at) WHERE wake_at IS NOT NULL;

CREATE TRIGGER subjects_stay BEFORE DELETE ON subjects
BEGIN SELECT RAISE(ABORT, 'a subject is never deleted'); END;
CREATE TRIGGER subjects_move_on BEFORE UPDATE OF version ON subjects WHEN NEW.version < OLD.version
BEGIN SELECT RAISE(ABORT, 'the version of a subject only grows'); END;

CREATE TABLE renewals (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    subject INTEGER NOT NULL REFERENCES subjects (number),
    basis TEXT NOT NULL CHECK (basis IN ('renewal', 'enrolment')),
    predecessor BLOB,
    predecessor_end INTEGER,
    started_at INTEGER NOT NULL,
    again INTEGER NOT NULL,
    chain_started_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    why TEXT,
    spki BLOB,
    protection TEXT,
    serial BLOB,
    fingerprint BLOB,
    issued_at INTEGER,
    CHECK ((basis = 'renewal') = (predecessor IS NOT NULL)),
    CHECK (basis = 'enrolment' OR predecessor_end IS NOT NULL),
    CHECK ((state = 'abandoned') = (why IS NOT NULL)),
    CHECK (state NOT IN ('requested', 'intended', 'issued', 'delivered', 'activated')
        OR (spki IS NOT NULL AND protection IS NOT NULL)),
    CHECK (state NOT IN ('intended', 'issued', 'delivered', 'activated') OR serial IS NOT NULL),
    CHECK (state NOT IN ('issued', 'delivered', 'activated') OR (fingerprint IS NOT NULL AND issued_at IS NOT NULL))
) STRICT;
-- At most one open renewal for each subject.
CREATE UNIQUE INDEX renewals_one_open ON renewals (subject)
    WHERE state IN ('started', 'requested', 'intended', 'issued', 'delivered');

CREATE TRIGGER renewals_stay BEFORE DELETE ON renewals
BEGIN SELECT RAISE(ABORT, 'a renewal is never deleted'); END;
CREATE TRIGGER renewals_ends_absorb BEFORE UPDATE OF state ON renewals
WHEN OLD.state IN ('activated', 'abandoned', 'refused', 'expired') AND NEW.state <> OLD.state
BEGIN SELECT RAISE(ABORT, 'a renewal that has ended stays so'); END;

-- Every key that was ever in a request, by SHA-256 of its SubjectPublicKeyInfo, with the only renewal it is good for.
CREATE TABLE keys_seen (
    spki BLOB PRIMARY KEY CHECK (length(spki) = 32),
    renewal BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER keys_seen_stay BEFORE DELETE ON keys_seen
BEGIN SELECT RAISE(ABORT, 'a key that was seen stays so'); END;

-- The to-be-signed bytes, before they are signed.
CREATE TABLE intents (
    number INTEGER PRIMARY KEY,
    serial BLOB NOT NULL UNIQUE CHECK (length(serial) BETWEEN 1 AND 20),
    renewal BLOB NOT NULL REFERENCES renewals (id),
    spki BLOB NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    tbs BLOB NOT NULL
) STRICT;

CREATE TRIGGER intents_stay BEFORE DELETE ON intents
BEGIN SELECT RAISE(ABORT, 'an intent is never deleted'); END;
CREATE TRIGGER intents_are_final BEFORE UPDATE ON intents
BEGIN SELECT RAISE(ABORT, 'an intent is never changed'); END;

-- What was signed.
CREATE TABLE documents (
    number INTEGER PRIMARY KEY,
    serial BLOB NOT NULL UNIQUE REFERENCES intents (serial),
    der BLOB NOT NULL
) STRICT;

CREATE TRIGGER documents_stay BEFORE DELETE ON documents
BEGIN SELECT RAISE(ABORT, 'a certificate is never deleted'); END;
CREATE TRIGGER documents_are_final BEFORE UPDATE ON documents
BEGIN SELECT RAISE(ABORT, 'a certificate is never changed'); END;

CREATE TABLE certificates (
    number INTEGER PRIMARY KEY,
    serial BLOB NOT NULL UNIQUE REFERENCES documents (serial),
    subject INTEGER NOT NULL REFERENCES subjects (number),
    generation INTEGER NOT NULL,
    fingerprint BLOB NOT NULL UNIQUE CHECK (length(fingerprint) = 32),
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    spki BLOB NOT NULL,
    protection TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'active', 'superseded', 'revoked')),
    status_at INTEGER,
    superseded_by BLOB,
    reason TEXT,
    deferred INTEGER NOT NULL,
    UNIQUE (subject, generation),
    CHECK ((status = 'pending') = (status_at IS NULL)),
    CHECK ((status = 'superseded') = (superseded_by IS NOT NULL)),
    CHECK ((status = 'revoked') = (reason IS NOT NULL))
) STRICT;
-- At most one active and one pending certificate for each subject.
CREATE UNIQUE INDEX certificates_one_active ON certificates (subject) WHERE status = 'active';
CREATE UNIQUE INDEX certificates_one_pending ON certificates (subject) WHERE status = 'pending';
CREATE INDEX certificates_expiring ON certificates (not_after) WHERE status = 'active';

CREATE TRIGGER certificates_stay BEFORE DELETE ON certificates
BEGIN SELECT RAISE(ABORT, 'a certificate is never deleted'); END;
CREATE TRIGGER certificates_are_final BEFORE UPDATE OF
    number, serial, subject, generation, fingerprint, not_before, not_after, spki, protection, issued_at ON certificates
BEGIN SELECT RAISE(ABORT, 'of a certificate only the status changes'); END;
CREATE TRIGGER certificates_move_on BEFORE UPDATE OF status ON certificates
WHEN NEW.status <> OLD.status
    AND (OLD.status || '>' || NEW.status)
        NOT IN ('pending>active', 'pending>revoked', 'active>superseded', 'active>revoked', 'superseded>revoked')
BEGIN SELECT RAISE(ABORT, 'revocation is final, and no status goes back'); END;

CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    subject TEXT,
    -- 1: a fact about what the subject holds; 0: a note.
    fact INTEGER NOT NULL CHECK (fact IN (0, 1)),
    word TEXT NOT NULL,
    body TEXT NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TRIGGER audit_stays BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'an audit record is never deleted'); END;
CREATE TRIGGER audit_is_final BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'an audit record is never changed'); END;

-- Certificates that were superseded or revoked, by the audit record that says so.
CREATE TABLE changes (
    sequence INTEGER PRIMARY KEY REFERENCES audit (sequence),
    fingerprint BLOB NOT NULL
) STRICT;

CREATE TABLE sessions (
    key BLOB PRIMARY KEY CHECK (length(key) = 32),
    kind TEXT NOT NULL CHECK (kind IN ('portal', 'code_sent', 'proven')),
    subject TEXT,
    certificate BLOB,
    code BLOB,
    code_tries INTEGER,
    code_until INTEGER,
    renewal BLOB,
    opened_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_end ON sessions (ends_at);

CREATE TABLE tries (
    key TEXT PRIMARY KEY,
    failures INTEGER NOT NULL,
    last_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX tries_by_age ON tries (last_at);

CREATE TABLE outbox (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    -- What the mail is about, so that one that became pointless is found without reading it.
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    not_after INTEGER,
    mail TEXT NOT NULL,
    planned_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'claimed', 'transmitting', 'done')),
    -- When it can be claimed next: the due instant, or the end of the lease; NULL when it is done with.
    claimable_from INTEGER CHECK ((claimable_from IS NULL) = (state = 'done')),
    lease INTEGER NOT NULL DEFAULT 0,
    worker TEXT,
    fence INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    unanswered INTEGER NOT NULL DEFAULT 0,
    disposition TEXT,
    reply TEXT,
    recorded_at INTEGER
) STRICT;
CREATE INDEX outbox_claimable ON outbox (claimable_from) WHERE claimable_from IS NOT NULL;
