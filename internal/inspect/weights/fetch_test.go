package weights

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFetch(t *testing.T) {
	content := bytes.Repeat([]byte("weights "), 1000)
	sum := fmt.Sprintf("%x", sha256.Sum256(content))
	var asked []string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("Range"))
		switch {
		case r.URL.Path == "/plain":
			http.Redirect(w, r, "http://127.0.0.1:1/x", http.StatusFound)
		case r.URL.Path != "/file":
			http.NotFound(w, r)
		case len(asked) == 1: // the connection breaks after 3000 bytes
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			w.Write(content[:3000])
			panic(http.ErrAbortHandler)
		default:
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		}
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "net.pth")
	fetch := func(path, sum string) error {
		return Fetch(t.Context(), server.Client(), server.URL+path, sum, file, func(int64, int64) {})
	}
	if err := fetch("/file", sum); err == nil {
		t.Error("a broken connection is no error")
	}
	if err := fetch("/file", sum); err != nil || asked[1] != "bytes=3000-" {
		t.Errorf("going on: %v, asked for %q", err, asked[1])
	}
	if got, _ := os.ReadFile(file); !bytes.Equal(got, content) {
		t.Error("other content")
	}
	for _, test := range []struct{ path, sum, want string }{
		{"/file", sum[:8], "its SHA-256 is " + sum + " and not " + sum[:8]},
		{"/file", "", "is not the file that is expected"},
		{"/none", sum, "404"},
		{"/plain", sum, "not https"},
	} {
		if err := fetch(test.path, test.sum); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.path, err, test.want)
		}
	}
	if err := Fetch(t.Context(), server.Client(), "http://x/y", sum, file, nil); err == nil {
		t.Error("plain http is taken")
	}
}

// TestKnownSums: whole ones, which begin with the digits that torchvision's file names carry.
func TestKnownSums(t *testing.T) {
	for _, k := range AllKnown() {
		if len(k.SHA256) != 64 || !strings.HasSuffix(k.URL, "-"+k.SHA256[:8]+".pth") {
			t.Errorf("%s: %s is not the SHA-256 of %s", k.Name, k.SHA256, k.URL)
		}
	}
}
