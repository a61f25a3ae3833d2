"""Works out the chain of a record as docs/evidence.md says, and nothing else."""
import hashlib, re, sqlite3, struct, sys

manual = open(sys.argv[1], encoding="utf-8").read()
db = sqlite3.connect(f"file:{sys.argv[2]}?mode=ro", uri=True)
db.text_factory = bytes
tables = {int(k): (name, columns.split()) for k, name, columns in re.findall(r"^\| (\d+) \| `(\w+)` \| ([\w ]+) \|$", manual, re.M)}

def value(v):
    if v is None: return b"N"
    if isinstance(v, int): return b"I" + struct.pack(">q", v)
    if isinstance(v, float): return b"F" + struct.pack(">d", v)
    return v[0] + struct.pack(">Q", len(v[1])) + v[1]

def typed(kind, v):
    return (b"T" if kind == b"text" else b"B", v) if isinstance(v, bytes) else v

chain = bytes(32)
links = db.execute("SELECT n, kind, row, hash FROM link ORDER BY n").fetchall()
for expected, (n, kind, row, stored) in enumerate(links, 1):
    name, columns = tables[kind]
    query = ", ".join(f"typeof({c}), {c}" for c in columns)
    values = db.execute(f"SELECT {query} FROM {name} WHERE id = ?", (row,)).fetchone()
    text = value(n) + value((b"T", name.encode())) + value(row)
    text += b"".join(value(typed(values[i], values[i + 1])) for i in range(0, len(values), 2))
    chain = hashlib.sha256(chain + hashlib.sha256(text).digest()).digest()
    assert n == expected and chain == stored, f"link {n} ({name} {row})"
for width, height, lo, hi, cells, inspected, late in db.execute("""SELECT h.width, h.height, h.lo, h.hi, h.cells, i.map, l.map FROM heatmap h
        JOIN inspection i ON i.id = h.inspection_id LEFT JOIN late l ON l.inspection_id = h.inspection_id"""):
    made = hashlib.sha256(value(width) + value(height) + value(lo) + value(hi) + value((b"B", cells))).digest()
    assert made == (inspected or late)
print(len(links), chain.hex())
