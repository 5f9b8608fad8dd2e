-- What a CA elsewhere was asked for and has not answered: stored with the request, so that a crash or a lost answer is
-- followed by the very same question; gone with the commit that stores the certificate.
CREATE TABLE orders (
    number INTEGER PRIMARY KEY,
    renewal BLOB NOT NULL UNIQUE REFERENCES renewals (id),
    spki BLOB NOT NULL CHECK (length(spki) = 32),
    organization TEXT NOT NULL,
    subject TEXT NOT NULL,
    mail TEXT,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    request BLOB NOT NULL,
    ordered_at INTEGER NOT NULL
) STRICT;

CREATE TRIGGER orders_stay BEFORE DELETE ON orders
WHEN (SELECT state FROM renewals WHERE id = OLD.renewal) IN ('started', 'requested', 'intended')
BEGIN SELECT RAISE(ABORT, 'an order is kept until it is answered or its renewal has ended'); END;
CREATE TRIGGER orders_are_for_one_key BEFORE UPDATE OF renewal, spki, subject, request ON orders
WHEN NEW.renewal <> OLD.renewal OR NEW.spki <> OLD.spki OR NEW.subject <> OLD.subject OR NEW.request <> OLD.request
BEGIN SELECT RAISE(ABORT, 'an order stays for one renewal and one request'); END;

-- How far the dealings with a CA elsewhere have come, in one row: the change up to which it has acknowledged every
-- revocation, and the place in its own sequence up to which every revocation of it is stored here.
CREATE TABLE dealings (
    number INTEGER PRIMARY KEY CHECK (number = 1),
    told INTEGER NOT NULL CHECK (told >= 0),
    heard INTEGER NOT NULL CHECK (heard >= 0)
) STRICT;
INSERT INTO dealings (number, told, heard) VALUES (1, 0, 0);
