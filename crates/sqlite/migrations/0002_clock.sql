-- What is known of the time, in one row: the largest instant that was recorded up to an audit record, after which the
-- audit records count themselves, so that no commit writes here.
CREATE TABLE clock (
    number INTEGER PRIMARY KEY CHECK (number = 1),
    largest INTEGER,
    sequence INTEGER NOT NULL,
    -- The audit record of the newest confirmation.
    confirmed INTEGER NOT NULL,
    -- A forward jump that nobody has confirmed: the instant that was expected, and what the clock said.
    expected INTEGER,
    found INTEGER,
    CHECK ((expected IS NULL) = (found IS NULL))
) STRICT;
INSERT INTO clock (number, largest, sequence, confirmed)
SELECT 1, max(at), coalesce(max(sequence), 0), 0 FROM audit;

CREATE TRIGGER clock_stays BEFORE DELETE ON clock
BEGIN SELECT RAISE(ABORT, 'the time that was recorded is never forgotten'); END;
CREATE TRIGGER clock_goes_back_when_confirmed BEFORE UPDATE OF largest ON clock
WHEN coalesce(NEW.largest, 0) < OLD.largest AND NEW.confirmed = OLD.confirmed AND NEW.expected IS OLD.expected
BEGIN SELECT RAISE(ABORT, 'only a confirmation makes the recorded time smaller'); END;
