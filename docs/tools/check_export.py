#!/usr/bin/env python3
"""Checks an export of linectl by docs/evidence.md alone: check_export.py FILE.zip. Signatures it leaves to openssl."""
import base64, hashlib, json, struct, sys, zipfile

COLUMNS = {
    "recipe": "name version hash backbone",
    "inspection": "at station sequence sequence_bits missed part_id lot recipe_asked user_data mode cycle_us verdict reason detail "
    "recipe_id found found_detail score threshold brightness spread sharpness zone device review map digest recovered software",
    "counting": "at station sequence sequence_bits fresh after",
    "delivery": "inspection_id at verdict reason outcome total_us stages error",
    "late": "inspection_id at recipe_id found found_detail score threshold brightness spread sharpness zone map stages",
    "frame": "inspection_id camera exposed_at source width height path bytes sha256",
    "event": "at kind who detail",
    "review": "at inspection_id verdict who why",
    "hold": "at lot held who why",
    "removal": "at frame_id why",
    "seal": "at n hash signature",
}

def value(v):
    if v is None: return b"N"
    if isinstance(v, int): return b"I" + struct.pack(">q", v)
    if isinstance(v, float): return b"F" + struct.pack(">d", v)
    if isinstance(v, str): v = {"text": v.encode().hex()}
    ((kind, text),) = v.items()
    raw = bytes.fromhex(text)
    return {"text": b"T", "blob": b"B"}[kind] + struct.pack(">Q", len(raw)) + raw

def sha(*parts): return hashlib.sha256(b"".join(parts)).digest()

file = zipfile.ZipFile(sys.argv[1])
names = file.namelist()
def lines(name): return (json.loads(line) for line in file.read(name).decode().splitlines() if line)

sums = dict(reversed(line.split("  ", 1)) for line in file.read("SHA256SUMS").decode().splitlines())
assert sorted(names) == sorted([*sums, "SHA256SUMS"]), "files were added or taken away"
for name, sum in sums.items(): assert sha(file.read(name)).hex() == sum, f"{name}: changed"

manifest = json.loads(file.read("manifest.json"))
assert manifest["format"] == "linectl export 1"
ends = {s["n"]: s["hash"] for s in [manifest["head"], *lines("seals.jsonl")]}
parts, rows, maps, frames, removed, state = 0, 0, {}, {}, set(), None
for line in lines("chain.jsonl"):
    if "hash" in line:  # a stretch begins, or ends with a seal or the head
        if state is None: state = (line["n"], bytes.fromhex(line["hash"])); continue
        assert state == (line["n"], bytes.fromhex(line["hash"])) and ends[line["n"]] == line["hash"], f"links up to {line['n']}: changed"
        state = None; continue
    assert line["n"] == state[0] + 1, f"link {state[0] + 1}: cut out"
    digest = bytes.fromhex(line.get("digest", ""))
    if "table" in line:
        row, table, id = line["row"], line["table"], line["id"]
        assert list(row) == COLUMNS[table].split(), f"columns of {table} {id}"
        digest = sha(value(line["n"]), value(table), value(id), *map(value, row.values()))
        rows, parts = rows + 1, parts + (table == "inspection")
        if row.get("map"): maps[id if table == "inspection" else row["inspection_id"]] = row["map"]["blob"]
        if table == "frame": frames["pictures/" + row["path"]] = (id, row["sha256"])
        if table == "removal": removed.add(row["frame_id"])
    state = (line["n"], sha(state[1], digest))
assert state is None and (parts, rows) == (manifest["parts"], manifest["rows"]), "rows were cut off"
for h in lines("heatmaps.jsonl"):
    cells = {"blob": base64.b64decode(h["cells"]).hex()}
    made = sha(value(h["width"]), value(h["height"]), value(float(h["lo"])), value(float(h["hi"])), value(cells)).hex()
    assert maps.pop(h["inspection_id"], None) == made, f"heatmap {h['inspection_id']}: changed"
assert not maps, "heatmaps were cut out"
for name, (id, sum) in frames.items(): assert sums.get(name) == sum or (name not in sums and id in removed), f"{name}: is not what was kept"
assert all(n in frames for n in names if n.startswith("pictures/")), "a picture without a row"
print(f"{parts} parts, {rows} rows, {len(frames) - len(removed)} pictures: as they were written")
