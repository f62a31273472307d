-- The tables of SqliteRecords. `room` counts each kind's records and octets, so that a bound costs no scan.
CREATE TABLE IF NOT EXISTS record (
    key BLOB PRIMARY KEY NOT NULL,
    value BLOB NOT NULL,
    version INTEGER NOT NULL,
    until REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS record_until ON record (until);
CREATE TABLE IF NOT EXISTS owner (
    owner BLOB NOT NULL,
    key BLOB NOT NULL,
    PRIMARY KEY (owner, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS owner_key ON owner (key);
CREATE TABLE IF NOT EXISTS room (
    kind BLOB PRIMARY KEY NOT NULL,
    records INTEGER NOT NULL,
    octets INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS record_made AFTER INSERT ON record BEGIN
    INSERT INTO room VALUES (substr(new.key, 1, 1), 1, length(new.value))
        ON CONFLICT (kind) DO UPDATE SET records = records + 1, octets = octets + excluded.octets;
END;
CREATE TRIGGER IF NOT EXISTS record_changed AFTER UPDATE OF value ON record BEGIN
    UPDATE room SET octets = octets + length(new.value) - length(old.value) WHERE kind = substr(new.key, 1, 1);
END;
CREATE TRIGGER IF NOT EXISTS record_gone AFTER DELETE ON record BEGIN
    UPDATE room SET records = records - 1, octets = octets - length(old.value) WHERE kind = substr(old.key, 1, 1);
    DELETE FROM owner WHERE key = old.key;
END;
