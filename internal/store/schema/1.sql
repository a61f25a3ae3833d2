-- Version 1. Times are microseconds UTC; durations are microseconds of the monotonic clock. A number
-- that is not finite is NULL. Reasons are stored by name; '' is the reason of a pass.
--
-- Evidence: every row of the tables up to seal has one row in link, in the order of writing; ids have no
-- gaps. Index: slot and reject are worked out from the evidence, so that questions about years are fast.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What exactly decided: the hash is over everything in the recipe version's folder.
CREATE TABLE recipe (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
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
  user_data     TEXT NOT NULL,               -- what else the PLC said of the part
  mode          TEXT NOT NULL,
  cycle_us      INTEGER NOT NULL,            -- within which the PLC had to have the verdict; 0 where that is not known
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
  zone          TEXT NOT NULL,               -- that score and threshold belong to; '' where there is none
  device        TEXT NOT NULL,               -- that computed it; '' where nothing was inspected
  review        INTEGER NOT NULL CHECK (review IN (0, 1)),  -- a person should look at it later
  map           BLOB,                        -- SHA-256 of the heatmap; NULL where there is none
  digest        TEXT NOT NULL,               -- of the frame
  recovered     INTEGER NOT NULL CHECK (recovered IN (0, 1)),
  software      TEXT NOT NULL,
  CHECK ((verdict = 'pass') = (reason = '')),
  CHECK ((sequence IS NULL) = (sequence_bits = 0))
) STRICT;
CREATE INDEX inspection_part ON inspection (part_id, id);
CREATE INDEX inspection_at ON inspection (at);
CREATE INDEX inspection_station ON inspection (station, id);
CREATE INDEX inspection_lot ON inspection (lot, id);
CREATE INDEX inspection_sequence ON inspection (sequence, id);
CREATE INDEX inspection_recipe ON inspection (recipe_id, id);
CREATE INDEX inspection_review ON inspection (id) WHERE review = 1;

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
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  inspection_id INTEGER NOT NULL REFERENCES inspection,
  camera        TEXT NOT NULL,
  exposed_at    INTEGER NOT NULL,
  source        TEXT NOT NULL,
  width         INTEGER NOT NULL,
  height        INTEGER NOT NULL,
  path          TEXT NOT NULL,
  bytes         INTEGER NOT NULL,
  sha256        TEXT NOT NULL,               -- of the file
  UNIQUE (inspection_id, camera)
) STRICT;

-- What became of the result on its way to the PLC.
CREATE TABLE delivery (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  inspection_id INTEGER NOT NULL REFERENCES inspection,
  at            INTEGER NOT NULL,
  verdict       TEXT NOT NULL CHECK (verdict IN ('pass', 'reject')),
  reason        TEXT NOT NULL,
  outcome       TEXT NOT NULL CHECK (outcome IN ('written', 'failed', 'skipped', 'recovered')),
  total_us      INTEGER NOT NULL,
  stages        TEXT NOT NULL CHECK (json_valid(stages)),  -- [["name", µs], …] in order
  error         TEXT NOT NULL
) STRICT;
CREATE INDEX delivery_inspection ON delivery (inspection_id, id);

-- What was found after the deadline: kept, never sent.
CREATE TABLE late (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  inspection_id INTEGER NOT NULL UNIQUE REFERENCES inspection,
  at            INTEGER NOT NULL,
  recipe_id     INTEGER REFERENCES recipe,
  found         TEXT NOT NULL,
  found_detail  TEXT NOT NULL,
  score         REAL,
  threshold     REAL,
  brightness    REAL,
  spread        REAL,
  sharpness     REAL,
  zone          TEXT NOT NULL,
  map           BLOB,
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

-- A person's verdict on a part; the newest counts.
CREATE TABLE review (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  at            INTEGER NOT NULL,
  inspection_id INTEGER NOT NULL REFERENCES inspection,
  verdict       TEXT NOT NULL CHECK (verdict IN ('good', 'bad', 'unsure')),
  who           TEXT NOT NULL,
  why           TEXT NOT NULL
) STRICT;
CREATE INDEX review_inspection ON review (inspection_id, id);

-- A lot whose pictures are not to be removed, or may be again; the newest row of a lot counts.
CREATE TABLE hold (
  id   INTEGER PRIMARY KEY AUTOINCREMENT,
  at   INTEGER NOT NULL,
  lot  TEXT NOT NULL,
  held INTEGER NOT NULL CHECK (held IN (0, 1)),
  who  TEXT NOT NULL,
  why  TEXT NOT NULL
) STRICT;
CREATE INDEX hold_lot ON hold (lot, id);

-- A picture file that retention has removed; its row in frame stays.
CREATE TABLE removal (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  at       INTEGER NOT NULL,
  frame_id INTEGER NOT NULL UNIQUE REFERENCES frame,
  why      TEXT NOT NULL
) STRICT;

-- The chain's hash as it was when a day ended: what is told to the outside world.
CREATE TABLE seal (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  at        INTEGER NOT NULL,
  n         INTEGER NOT NULL,                -- the newest link that it seals
  hash      BLOB NOT NULL,                   -- that link's
  signature BLOB                             -- Ed25519 over the text of the seal; NULL where there is no key
) STRICT;

-- The chain over all rows above: hash = SHA-256 over the hash before it and the row's
-- digest, which is the SHA-256 of its canonical form.
-- kind: 1 recipe, 2 inspection, 3 counting, 4 delivery, 5 late, 6 frame, 7 event, 8 review, 9 hold,
-- 10 removal, 11 seal. n is also the order in which rows are forwarded.
CREATE TABLE link (
  n    INTEGER PRIMARY KEY AUTOINCREMENT,
  kind INTEGER NOT NULL,
  row  INTEGER NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- How far the rows have been forwarded, and to whom.
CREATE TABLE sink (
  name TEXT PRIMARY KEY,
  n    INTEGER NOT NULL,                     -- the newest link that has arrived
  at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Parts counted by quarter of an hour: the reason as told, '' for a pass, and as decided.
CREATE TABLE slot (
  at         INTEGER NOT NULL,               -- the quarter's begin
  station    TEXT NOT NULL,
  recipe_id  INTEGER NOT NULL,               -- 0 for none
  lot        TEXT NOT NULL,
  reason     TEXT NOT NULL,
  decided    TEXT NOT NULL,
  parts      INTEGER NOT NULL,
  scored     INTEGER NOT NULL,               -- parts with a score
  score      REAL NOT NULL,                  -- sum
  score2     REAL NOT NULL,                  -- sum of squares
  measured   INTEGER NOT NULL,               -- parts with picture quality
  brightness REAL NOT NULL,                  -- sums
  sharpness  REAL NOT NULL,
  PRIMARY KEY (at, station, recipe_id, lot, reason, decided)
) STRICT, WITHOUT ROWID;

-- Parts that are rejects now, as the view part has them.
CREATE TABLE reject (
  inspection_id INTEGER PRIMARY KEY REFERENCES inspection,
  lot           TEXT NOT NULL,
  reason        TEXT NOT NULL
) STRICT;
CREATE INDEX reject_lot ON reject (lot, inspection_id);
CREATE INDEX reject_reason ON reject (reason, inspection_id);

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
CREATE TRIGGER recipe_update BEFORE UPDATE ON recipe BEGIN SELECT RAISE(ABORT, 'recipe rows are never changed'); END;
CREATE TRIGGER recipe_delete BEFORE DELETE ON recipe BEGIN SELECT RAISE(ABORT, 'recipe rows are never deleted'); END;
CREATE TRIGGER review_update BEFORE UPDATE ON review BEGIN SELECT RAISE(ABORT, 'review rows are never changed'); END;
CREATE TRIGGER review_delete BEFORE DELETE ON review BEGIN SELECT RAISE(ABORT, 'review rows are never deleted'); END;
CREATE TRIGGER hold_update BEFORE UPDATE ON hold BEGIN SELECT RAISE(ABORT, 'hold rows are never changed'); END;
CREATE TRIGGER hold_delete BEFORE DELETE ON hold BEGIN SELECT RAISE(ABORT, 'hold rows are never deleted'); END;
CREATE TRIGGER removal_update BEFORE UPDATE ON removal BEGIN SELECT RAISE(ABORT, 'removal rows are never changed'); END;
CREATE TRIGGER removal_delete BEFORE DELETE ON removal BEGIN SELECT RAISE(ABORT, 'removal rows are never deleted'); END;
CREATE TRIGGER seal_update BEFORE UPDATE ON seal BEGIN SELECT RAISE(ABORT, 'seal rows are never changed'); END;
CREATE TRIGGER seal_delete BEFORE DELETE ON seal BEGIN SELECT RAISE(ABORT, 'seal rows are never deleted'); END;
CREATE TRIGGER link_update BEFORE UPDATE ON link BEGIN SELECT RAISE(ABORT, 'link rows are never changed'); END;
CREATE TRIGGER link_delete BEFORE DELETE ON link BEGIN SELECT RAISE(ABORT, 'link rows are never deleted'); END;

-- A part as the PLC knows it: the verdict that it was told, where it was told one, else the decided
-- one. Of several deliveries the newest that the PLC confirmed counts, else the newest.
CREATE VIEW part AS
SELECT i.id, i.at, i.station, i.sequence, i.sequence_bits, i.missed, i.part_id, i.lot, i.recipe_asked, i.mode,
       coalesce(d.verdict, i.verdict) AS verdict, coalesce(d.reason, i.reason) AS reason,
       i.verdict AS decided, i.reason AS decided_reason, i.detail,
       i.score, i.threshold, l.score AS late_score, l.threshold AS late_threshold,
       r.name AS recipe, r.version, r.hash, r.backbone,
       d.outcome, d.total_us, d.error, i.digest, i.recovered, i.software,
       i.user_data, coalesce(l.zone, i.zone) AS zone, i.review, v.verdict AS reviewed
FROM inspection i
LEFT JOIN delivery d ON d.id = (
  SELECT id FROM delivery WHERE inspection_id = i.id
  ORDER BY outcome IN ('written', 'recovered') DESC, id DESC LIMIT 1)
LEFT JOIN late l ON l.inspection_id = i.id
LEFT JOIN review v ON v.id = (SELECT max(id) FROM review WHERE inspection_id = i.id)
LEFT JOIN recipe r ON r.id = coalesce(i.recipe_id, l.recipe_id);
