-- A revocation list is made from these alone.
CREATE INDEX certificates_revoked ON certificates (serial) WHERE status = 'revoked';
