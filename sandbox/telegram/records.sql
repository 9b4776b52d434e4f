-- What the server must still know after it was killed: everything but faults and toasts on screen.

CREATE TABLE IF NOT EXISTS bots (
    bot_id         INTEGER PRIMARY KEY,
    last_update_id INTEGER NOT NULL,
    called         INTEGER NOT NULL DEFAULT 0, -- the greatest is the bot that called last
    body           TEXT NOT NULL               -- name, description, commands, webhook, allowed updates
);

CREATE TABLE IF NOT EXISTS people (
    person_id  INTEGER PRIMARY KEY,
    first_name TEXT NOT NULL UNIQUE,
    username   TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS chats (
    bot_id          INTEGER NOT NULL,
    person_id       INTEGER NOT NULL,
    last_message_id INTEGER NOT NULL DEFAULT 0,
    body            TEXT NOT NULL DEFAULT '{}', -- blocked, wallet, reply keyboard
    PRIMARY KEY (bot_id, person_id)
);

CREATE TABLE IF NOT EXISTS messages (
    bot_id     INTEGER NOT NULL,
    person_id  INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    seq        INTEGER NOT NULL, -- the event that changed it last
    body       TEXT NOT NULL,    -- a Bot API Message
    PRIMARY KEY (bot_id, person_id, message_id)
);
CREATE INDEX IF NOT EXISTS messages_by_seq ON messages (bot_id, seq);

CREATE TABLE IF NOT EXISTS events (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    bot_id    INTEGER NOT NULL,
    person_id INTEGER NOT NULL,
    body      TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS updates (
    bot_id       INTEGER NOT NULL,
    update_id    INTEGER NOT NULL,
    queue_key    INTEGER NOT NULL, -- one in flight per key
    expires_at   INTEGER NOT NULL,
    after_update INTEGER,          -- held until that one is delivered; -1: until a button is pressed
    body         TEXT NOT NULL,
    PRIMARY KEY (bot_id, update_id)
);

CREATE TABLE IF NOT EXISTS callbacks (
    query_id   TEXT PRIMARY KEY,
    bot_id     INTEGER NOT NULL,
    person_id  INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    asked_at   INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS files (
    file_id TEXT PRIMARY KEY,
    body    TEXT NOT NULL
);

-- What a scripted person asked for, so that asking twice does it once.
CREATE TABLE IF NOT EXISTS requests (
    once   TEXT PRIMARY KEY,
    answer TEXT NOT NULL
);
