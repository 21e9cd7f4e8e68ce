-- Memos: what the gate remembers of others (Stripe), by name (kind:id). No money is in them, and the journal says nothing of them.
CREATE TABLE memos (
    name        TEXT    NOT NULL PRIMARY KEY,
    version     INTEGER NOT NULL,  -- how often it was written
    text        TEXT    NOT NULL,  -- JSON
    due         INTEGER NOT NULL,  -- when there is something to do about it
    forget_at   INTEGER NOT NULL   -- from when on it is as if never written
) STRICT;
CREATE INDEX memos_due ON memos (due) WHERE due < 9007199254740991;
CREATE INDEX memos_forget_at ON memos (forget_at) WHERE forget_at < 9007199254740991;
