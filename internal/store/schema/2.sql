-- Version 2. What 'query --near' looks through: worked out from the evidence, and not in the chain.

-- A heatmap at 8 x 8: its means over equal rectangles, row by row, each a character from '0' (the lowest)
-- to 'o' (the highest of 64 steps). A heatmap that is the same everywhere has no row.
CREATE TABLE heatmap_thumbnail (
  inspection_id INTEGER PRIMARY KEY REFERENCES inspection,
  width         INTEGER NOT NULL,            -- of the heatmap
  height        INTEGER NOT NULL,
  cells         TEXT NOT NULL CHECK (length(cells) = 64)
) STRICT;

-- The difference hash of a picture: 256 bits, hexadecimal.
CREATE TABLE frame_hash (
  inspection_id INTEGER NOT NULL REFERENCES inspection,
  frame_id      INTEGER NOT NULL REFERENCES frame,
  bits          TEXT NOT NULL CHECK (length(bits) = 64),
  PRIMARY KEY (inspection_id, frame_id)
) STRICT, WITHOUT ROWID;

-- From which id on every heatmap has its thumbnail; the daemon works its way down.
INSERT INTO meta (key, value) SELECT 'thumbnails_from', CAST(max(id) + 1 AS TEXT) FROM inspection HAVING count(*) > 0;
