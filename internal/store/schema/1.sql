-- Version 1. Times are microseconds UTC; durations are microseconds of the monotonic clock. A number
-- that is not finite is NULL. Reasons are stored by name; '' is the reason of a pass.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What exactly decided: the hash is over everything in the recipe version's folder.
CREATE TABLE recipe (
  id       INTEGER PRIMARY KEY,
  name     TEXT NOT NULL,
  version  INTEGER NOT NULL,
  hash     TEXT NOT NULL,
  backbone TEXT NOT NULL,
  UNIQUE (name, version, hash, backbone)
) STRICT;

-- One row a trigger, or a gap in the PLC's counter. It is durable before a pass is written to the PLC.
CREATE TABLE inspection (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  at            INTEGER NOT NULL,            -- the trigger was seen
  station       TEXT NOT NULL,
  sequence      INTEGER,                     -- the PLC's counter; NULL where it has none
  sequence_bits INTEGER NOT NULL,            -- its width
  missed        INTEGER NOT NULL,            -- parts that went by unseen, up to this sequence
  part_id       TEXT NOT NULL,
  lot           TEXT NOT NULL,
  recipe_asked  TEXT NOT NULL,               -- the recipe that the PLC named
  mode          TEXT NOT NULL,
  verdict       TEXT NOT NULL CHECK (verdict IN ('pass', 'reject')),
  reason        TEXT NOT NULL,
  detail        TEXT NOT NULL,
  recipe_id     INTEGER REFERENCES recipe,
  found         TEXT,                        -- the inspection's own reason; NULL where nothing was inspected
  found_detail  TEXT,
  score         REAL,
  threshold     REAL,
  brightness    REAL,
  spread        REAL,
  sharpness     REAL,
  digest        TEXT NOT NULL,               -- of the frame
  recovered     INTEGER NOT NULL CHECK (recovered IN (0, 1)),
  software      TEXT NOT NULL,
  CHECK ((verdict = 'pass') = (reason = '')),
  CHECK ((sequence IS NULL) = (sequence_bits = 0))
) STRICT;
CREATE INDEX inspection_part ON inspection (part_id, id);
CREATE INDEX inspection_at ON inspection (at);
CREATE INDEX inspection_station ON inspection (station, id);
CREATE INDEX inspection_reason ON inspection (reason, id) WHERE reason <> '';

-- Where the PLC's counting began: with the first session, and when the PLC restarted its counter.
CREATE TABLE counting (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  at            INTEGER NOT NULL,
  station       TEXT NOT NULL,
  sequence      INTEGER NOT NULL,            -- newest counter value that is accounted for
  sequence_bits INTEGER NOT NULL,
  fresh         INTEGER NOT NULL CHECK (fresh IN (0, 1)),  -- that value's own part may be still to come
  after         INTEGER NOT NULL             -- the newest inspection at that time
) STRICT;

-- The anomaly map as its native grid: cell = lo + (hi - lo) * n / 65534, n little-endian; 65535 is no number.
CREATE TABLE heatmap (
  inspection_id INTEGER PRIMARY KEY REFERENCES inspection,
  width         INTEGER NOT NULL,
  height        INTEGER NOT NULL,
  lo            REAL NOT NULL,
  hi            REAL NOT NULL,
  cells         BLOB NOT NULL,
  CHECK (length(cells) = 2 * width * height)
) STRICT;

-- Picture files, relative to the folder of pictures.
CREATE TABLE frame (
  inspection_id INTEGER NOT NULL REFERENCES inspection,
  camera        TEXT NOT NULL,
  exposed_at    INTEGER NOT NULL,
  source        TEXT NOT NULL,
  width         INTEGER NOT NULL,
  height        INTEGER NOT NULL,
  path          TEXT NOT NULL,
  bytes         INTEGER NOT NULL,
  sha256        TEXT NOT NULL,               -- of the file
  PRIMARY KEY (inspection_id, camera)
) STRICT, WITHOUT ROWID;

-- What became of the result on its way to the PLC.
CREATE TABLE delivery (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  inspection_id INTEGER NOT NULL REFERENCES inspection,
  at            INTEGER NOT NULL,
  verdict       TEXT NOT NULL CHECK (verdict IN ('pass', 'reject')),
  reason        TEXT NOT NULL,
  outcome       TEXT NOT NULL CHECK (outcome IN ('written', 'failed', 'skipped', 'recovered')),
  total_us      INTEGER NOT NULL,
  stages        TEXT NOT NULL CHECK (json_valid(stages)),  -- [{"name": …, "us": …}, …] in order
  error         TEXT NOT NULL
) STRICT;
CREATE INDEX delivery_inspection ON delivery (inspection_id, id);
CREATE INDEX delivery_reason ON delivery (reason, inspection_id) WHERE reason <> '';

-- What was found after the deadline: kept, never sent.
CREATE TABLE late (
  inspection_id INTEGER PRIMARY KEY REFERENCES inspection,
  at            INTEGER NOT NULL,
  recipe_id     INTEGER REFERENCES recipe,
  found         TEXT NOT NULL,
  found_detail  TEXT NOT NULL,
  score         REAL,
  threshold     REAL,
  brightness    REAL,
  spread        REAL,
  sharpness     REAL,
  stages        TEXT NOT NULL CHECK (json_valid(stages))
) STRICT;

CREATE TABLE event (
  id     INTEGER PRIMARY KEY AUTOINCREMENT,
  at     INTEGER NOT NULL,
  kind   TEXT NOT NULL,
  who    TEXT NOT NULL,
  detail TEXT NOT NULL
) STRICT;
CREATE INDEX event_at ON event (at);

CREATE TRIGGER inspection_update BEFORE UPDATE ON inspection BEGIN SELECT RAISE(ABORT, 'inspection rows are never changed'); END;
CREATE TRIGGER inspection_delete BEFORE DELETE ON inspection BEGIN SELECT RAISE(ABORT, 'inspection rows are never deleted'); END;
CREATE TRIGGER counting_update BEFORE UPDATE ON counting BEGIN SELECT RAISE(ABORT, 'counting rows are never changed'); END;
CREATE TRIGGER counting_delete BEFORE DELETE ON counting BEGIN SELECT RAISE(ABORT, 'counting rows are never deleted'); END;
CREATE TRIGGER heatmap_update BEFORE UPDATE ON heatmap BEGIN SELECT RAISE(ABORT, 'heatmap rows are never changed'); END;
CREATE TRIGGER heatmap_delete BEFORE DELETE ON heatmap BEGIN SELECT RAISE(ABORT, 'heatmap rows are never deleted'); END;
CREATE TRIGGER frame_update BEFORE UPDATE ON frame BEGIN SELECT RAISE(ABORT, 'frame rows are never changed'); END;
CREATE TRIGGER frame_delete BEFORE DELETE ON frame BEGIN SELECT RAISE(ABORT, 'frame rows are never deleted'); END;
CREATE TRIGGER delivery_update BEFORE UPDATE ON delivery BEGIN SELECT RAISE(ABORT, 'delivery rows are never changed'); END;
CREATE TRIGGER delivery_delete BEFORE DELETE ON delivery BEGIN SELECT RAISE(ABORT, 'delivery rows are never deleted'); END;
CREATE TRIGGER late_update BEFORE UPDATE ON late BEGIN SELECT RAISE(ABORT, 'late rows are never changed'); END;
CREATE TRIGGER late_delete BEFORE DELETE ON late BEGIN SELECT RAISE(ABORT, 'late rows are never deleted'); END;
CREATE TRIGGER event_update BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'event rows are never changed'); END;
CREATE TRIGGER event_delete BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'event rows are never deleted'); END;

-- A part as the PLC knows it: the verdict that it was told, where it was told one, else the decided
-- one. Of several deliveries the newest that the PLC confirmed counts, else the newest.
CREATE VIEW part AS
SELECT i.id, i.at, i.station, i.sequence, i.sequence_bits, i.missed, i.part_id, i.lot, i.recipe_asked, i.mode,
       coalesce(d.verdict, i.verdict) AS verdict, coalesce(d.reason, i.reason) AS reason,
       i.verdict AS decided, i.reason AS decided_reason, i.detail,
       i.score, i.threshold, l.score AS late_score, l.threshold AS late_threshold,
       r.name AS recipe, r.version, r.hash, r.backbone,
       d.outcome, d.total_us, d.error, i.digest, i.recovered, i.software
FROM inspection i
LEFT JOIN delivery d ON d.id = (
  SELECT id FROM delivery WHERE inspection_id = i.id
  ORDER BY outcome IN ('written', 'recovered') DESC, id DESC LIMIT 1)
LEFT JOIN late l ON l.inspection_id = i.id
LEFT JOIN recipe r ON r.id = coalesce(i.recipe_id, l.recipe_id);
