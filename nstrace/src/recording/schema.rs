//! The database: what `sqlite3 FILE .schema` shows.

/// `PRAGMA application_id`: "nstr".
pub const APPLICATION_ID: i32 = 0x6e73_7472;

/// `PRAGMA user_version`: the format of the table and of what is in its columns. A reader refuses any other.
pub const FORMAT: i32 = 1;

/// Comments and all, so that the file explains itself.
pub const ENTRY: &str = "\
CREATE TABLE entry (
  -- A recording of nstrace: a chain of rows. 'nstrace verify' checks it, 'nstrace query' opens what is inside.
  id INTEGER PRIMARY KEY,      -- 1, 2, 3 ...; after old rows were dropped (see cut) row 1 and the newer ones are left
  kind TEXT NOT NULL,          -- session, facts, keyframe, container, cut, seal, end
  boot_first INTEGER NOT NULL, -- CLOCK_BOOTTIME of the earliest and the latest fact inside, nanoseconds
  boot_last INTEGER NOT NULL,
  utc_first INTEGER NOT NULL,  -- the same in UTC, nanoseconds since 1970, by the clock readings among the facts
  utc_last INTEGER NOT NULL,
  first_fact INTEGER NOT NULL, -- number of the first fact inside, from 0; of other kinds: how many facts came before
  facts INTEGER NOT NULL,      -- how many facts are inside
  raw_bytes INTEGER NOT NULL,  -- length of data when decompressed
  hash BLOB NOT NULL,          -- blake3 of the hash before it and of all other columns
  data BLOB NOT NULL           -- zstd; facts: frames of u8 origin (1 ring, 2 iterator, 3 told), u32 length, bytes; else JSON
)";

/// Which entry is the last one: a chain cannot tell that its end was taken away. Written with each entry.
pub const HEAD: &str = "\
CREATE TABLE head (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  id INTEGER NOT NULL,         -- of the last entry
  hash BLOB NOT NULL           -- its hash
)";
