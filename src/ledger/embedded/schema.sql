-- The embedded ledger's tables. Amounts are whole micro-credits (1 credit = 1000000), times microseconds since 1970-01-01 UTC
-- (9007199254740991 is "never"); the views that end in _view show both as people write them. Read as you like; write nothing by hand.

-- One row: which layout this is, which ledger, and where its journal ends.
CREATE TABLE meta (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    layout      INTEGER NOT NULL,
    store       TEXT    NOT NULL,  -- random, made with the file
    created_at  INTEGER NOT NULL,
    time        INTEGER NOT NULL,  -- the latest time the ledger has seen: it never goes back
    seq         INTEGER NOT NULL,  -- of the journal's last entry
    hash        TEXT    NOT NULL   -- of the journal's last entry; of none, the store's id
) STRICT;

CREATE TABLE accounts (
    id          TEXT    NOT NULL PRIMARY KEY,
    created_at  INTEGER NOT NULL,
    plan        TEXT,
    limits      TEXT    NOT NULL,  -- JSON
    version     INTEGER NOT NULL,  -- rises with each change of settings or keys
    granted     INTEGER NOT NULL,  -- granted = available + held + spent + expired + voided
    held        INTEGER NOT NULL,
    spent       INTEGER NOT NULL,
    expired     INTEGER NOT NULL,
    voided      INTEGER NOT NULL,
    open        INTEGER NOT NULL,  -- open holds
    requests_at INTEGER NOT NULL,  -- rate limits: when the requests (the tokens) so far are paid off
    tokens_at   INTEGER NOT NULL,
    day         INTEGER NOT NULL,  -- days since the epoch, and what was spent in that day
    day_spent   INTEGER NOT NULL,
    month       INTEGER NOT NULL,  -- year * 12 + month - 1, and what was spent in that month
    month_spent INTEGER NOT NULL,
    taken       INTEGER NOT NULL,  -- by adjustments below zero, in total
    dealt       INTEGER NOT NULL,  -- of spent + taken, dealt out to grants
    overrun     INTEGER NOT NULL,  -- below zero by name: more produced than held,
    late        INTEGER NOT NULL,  -- captured after the hold had expired,
    clawback    INTEGER NOT NULL,  -- taken back by a void or an adjustment
    next_due    INTEGER NOT NULL,  -- when a grant next starts or expires
    ending      INTEGER NOT NULL,  -- a grant has expired under open holds
    entries     INTEGER NOT NULL,  -- in the journal
    last_entry  INTEGER NOT NULL,  -- seq of the last one
    credit_line INTEGER NOT NULL   -- the largest any request came with
) STRICT, WITHOUT ROWID;

-- Why accounts are paused.
CREATE TABLE reasons (
    account     TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    PRIMARY KEY (account, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE grants (
    account      TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    amount       INTEGER NOT NULL,
    priority     INTEGER NOT NULL,
    category     TEXT    NOT NULL,
    effective_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    voided_at    INTEGER,
    note         TEXT,
    state        TEXT    NOT NULL,
    drawn        INTEGER NOT NULL,
    expired      INTEGER NOT NULL,
    voided       INTEGER NOT NULL,
    guarded      INTEGER NOT NULL,  -- while ending: the sum of the holds it lies under,
    ended        INTEGER NOT NULL,  -- and which those are: opened by the account's first so many entries
    PRIMARY KEY (account, id)
) STRICT, WITHOUT ROWID;

-- API keys: the digest of each, never the key.
CREATE TABLE keys (
    account     TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    digest      TEXT    NOT NULL UNIQUE,
    name        TEXT,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    revoked_at  INTEGER,
    limits      TEXT    NOT NULL,
    open        INTEGER NOT NULL,
    held        INTEGER NOT NULL,
    requests_at INTEGER NOT NULL,
    tokens_at   INTEGER NOT NULL,
    day         INTEGER NOT NULL,
    day_spent   INTEGER NOT NULL,
    month       INTEGER NOT NULL,
    month_spent INTEGER NOT NULL,
    PRIMARY KEY (account, id)
) STRICT, WITHOUT ROWID;

-- Open holds, and the ended ones as long as their ids are remembered.
CREATE TABLE holds (
    account     TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    state       TEXT    NOT NULL,
    amount      INTEGER NOT NULL,
    opened      INTEGER NOT NULL,
    charged     INTEGER NOT NULL,
    opened_at   INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,  -- once it has ended: when that was
    number      INTEGER NOT NULL,  -- of its first entry, among the account's
    extensions  INTEGER NOT NULL,
    available   INTEGER NOT NULL,
    content     INTEGER NOT NULL,
    claim       BLOB,              -- digests of the idempotency key it was opened under, and of what was asked for
    PRIMARY KEY (account, id)
) STRICT, WITHOUT ROWID;

-- Adjustments made, by idempotency key, with their answers.
CREATE TABLE commands (
    account     TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    asked       INTEGER NOT NULL,
    time        INTEGER NOT NULL,
    amount      INTEGER NOT NULL,
    available   INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (account, id)
) STRICT, WITHOUT ROWID;

-- The journal: one row per change of money or settings, never changed. `hash` chains each row to the one before it.
CREATE TABLE journal (
    seq         INTEGER PRIMARY KEY,
    number      INTEGER NOT NULL,  -- among the account's entries
    previous    INTEGER NOT NULL,  -- seq of the account's entry before it
    time        INTEGER NOT NULL,
    account     TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    subject     TEXT    NOT NULL,  -- the hold, grant, command, key or reason
    amount      INTEGER NOT NULL,
    held        INTEGER NOT NULL,  -- what ceased to be held
    available   INTEGER NOT NULL,  -- just after it
    detail      TEXT    NOT NULL,  -- JSON: who, why, for what
    hash        TEXT    NOT NULL
) STRICT;
CREATE INDEX journal_by_account ON journal (account, seq);
CREATE INDEX journal_by_subject ON journal (subject, account);
