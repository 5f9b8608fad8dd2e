-- When the subject of a portal session had signed in before it was opened.
ALTER TABLE sessions ADD COLUMN previous_sign_in INTEGER;
