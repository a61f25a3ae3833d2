package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"linectl/internal/part"
)

// picturesFolderVariable names the folder for the process whose system calls are logged.
const picturesFolderVariable = "LINECTL_TEST_PICTURES_FOLDER"

// keepPictures writes parts with their pictures.
func keepPictures(folder string) {
	fail := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	s, err := Open(context.Background(), configIn(folder), slog.New(slog.DiscardHandler))
	fail(err)
	for n := range uint32(20) {
		id, err := s.Insert(context.Background(), good(n))
		fail(err)
		s.KeepPicture(id, frame(64, 48, int(n)+1), part.Reject)
	}
	fail(s.Close())
	os.Exit(0)
}

// call is a system call that ended well.
type call struct {
	name       string
	begin, end int      // lines of the log
	fd         string   // path of the first file descriptor, or the folder of a relative path
	strings    []string // arguments that are text, decoded
}

var (
	callLine    = regexp.MustCompile(`^(\d+) +(\w+)\((.*)$`)
	resumedLine = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>(.*)$`)
	hexString   = regexp.MustCompile(`"((?:\\x[0-9a-f]{2})*)"`)
	descriptor  = regexp.MustCompile(`^(?:\d+|AT_FDCWD)<([^>]*)>`)
)

func unescape(t *testing.T, text string) string {
	t.Helper()
	if !strings.Contains(text, `\x`) {
		return text
	}
	data, err := hex.DecodeString(strings.ReplaceAll(text, `\x`, ""))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// calls reads what strace has written.
func calls(t *testing.T, log []byte) (all []call) {
	t.Helper()
	type open struct {
		begin int
		text  string
	}
	begun := map[string]open{}
	for n, line := range strings.Split(string(log), "\n") {
		begin, pid, name, rest := n, "", "", ""
		if m := resumedLine.FindStringSubmatch(line); m != nil {
			pid, name = m[1], m[2]
			begin, rest = begun[pid].begin, begun[pid].text+m[3]
		} else if m := callLine.FindStringSubmatch(line); m != nil {
			pid, name, rest = m[1], m[2], m[3]
			if text, cut := strings.CutSuffix(rest, "<unfinished ...>"); cut {
				begun[pid] = open{n, text}
				continue
			}
		} else {
			continue
		}
		if _, result, there := strings.Cut(rest[max(0, strings.LastIndex(rest, ")")):], "= "); !there || strings.HasPrefix(result, "-1") || strings.HasPrefix(result, "?") {
			continue
		}
		c := call{name: name, begin: begin, end: n}
		if m := descriptor.FindStringSubmatch(rest); m != nil {
			c.fd = unescape(t, m[1])
		}
		for _, m := range hexString.FindAllStringSubmatch(rest, -1) {
			c.strings = append(c.strings, unescape(t, m[1]))
		}
		all = append(all, c)
	}
	return all
}

// TestNoRowNamesAPictureThatAPowerLossTakes follows the system calls of a writer. A power loss may leave a row from
// the instant on at which its page is written to the log, synced or not; by then the picture's content must be
// on the disk, and its name, and the names of all folders above it. So it holds at every instant.
func TestNoRowNamesAPictureThatAPowerLossTakes(t *testing.T) {
	folder, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "calls")
	child := exec.Command("strace", "-f", "-y", "-xx", "-s", "1000000", "-e", "signal=none",
		"-e", "trace=write,pwrite64,fsync,fdatasync,mkdir,mkdirat,rename,renameat,renameat2,link,linkat", "-o", log, os.Args[0])
	child.Env = append(os.Environ(), picturesFolderVariable+"="+folder)
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("strace ('scripts/setup.sh test' installs it): %v\n%s", err, out)
	}
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	all := calls(t, data)

	// What is on the disk for sure, and from which line of the log on.
	written := map[string]*bytes.Buffer{} // by the path at the time of writing
	synced := map[string]int{}            // content
	named := map[string]int{}             // a name in its folder
	waiting := map[string][]string{}      // names in a folder that are not durable yet
	contents := map[string][]byte{}
	rowFrom := map[string]int{} // by path: the first write to the log that holds it
	pictures := filepath.Join(folder, "pictures")
	row := regexp.MustCompile(`\d{4}/\d\d/\d\d/\d+-top\.png`)
	made := func(path string) { waiting[filepath.Dir(path)] = append(waiting[filepath.Dir(path)], path) }
	for _, c := range all {
		switch c.name {
		case "write":
			if strings.HasPrefix(c.fd, pictures) {
				if written[c.fd] == nil {
					written[c.fd] = &bytes.Buffer{}
				}
				written[c.fd].WriteString(c.strings[0])
			}
		case "pwrite64":
			if strings.Contains(c.fd, "linectl.db") {
				for _, path := range row.FindAllString(c.strings[0], -1) {
					if _, there := rowFrom[path]; !there {
						rowFrom[path] = c.begin
					}
				}
			}
		case "fsync", "fdatasync":
			if written[c.fd] != nil {
				synced[c.fd], contents[c.fd] = c.end, bytes.Clone(written[c.fd].Bytes())
			}
			for _, path := range waiting[c.fd] {
				named[path] = c.end
			}
			delete(waiting, c.fd)
		case "mkdir", "mkdirat":
			made(c.strings[0])
		case "rename", "renameat", "renameat2", "link", "linkat":
			from, to := c.strings[0], c.strings[1]
			synced[to], contents[to] = synced[from], contents[from]
			made(to)
		}
	}

	c := configIn(folder)
	r, err := OpenReader(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rows, err := r.db.Query(`SELECT path, sha256 FROM frame`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var n int
	for rows.Next() {
		var path, sum string
		if err := rows.Scan(&path, &sum); err != nil {
			t.Fatal(err)
		}
		n++
		from, there := rowFrom[path]
		if !there {
			t.Errorf("%s: no write of its row was seen", path)
		}
		file := filepath.Join(pictures, path)
		if got := sha256.Sum256(contents[file]); hex.EncodeToString(got[:]) != sum {
			t.Errorf("%s: what was synced is not the picture", path)
		}
		if at := synced[file]; at == 0 || at >= from {
			t.Errorf("%s: its content is on the disk from line %d on, its row from %d", path, at, from)
		}
		for name := file; name != pictures; name = filepath.Dir(name) {
			if at := named[name]; at == 0 || at >= from {
				t.Errorf("%s: the name %s is on the disk from line %d on, its row from %d", path, strings.TrimPrefix(name, folder), at, from)
			}
		}
	}
	t.Log(strconv.Itoa(n), "pictures with their rows,", len(all), "system calls")
	if n != 20 {
		t.Errorf("%d pictures, want 20", n)
	}
}
