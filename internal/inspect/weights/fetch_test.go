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
	fetch := func(path, digits string) error {
		return Fetch(t.Context(), server.Client(), server.URL+path, digits, file, func(int64, int64) {})
	}
	if err := fetch("/file", sum[:8]); err == nil {
		t.Error("a broken connection is no error")
	}
	if err := fetch("/file", sum[:8]); err != nil || asked[1] != "bytes=3000-" {
		t.Errorf("going on: %v, asked for %q", err, asked[1])
	}
	if got, _ := os.ReadFile(file); !bytes.Equal(got, content) {
		t.Error("other content")
	}
	for _, test := range []struct{ path, digits, want string }{
		{"/file", "00000000", "does not begin with 00000000"},
		{"/none", sum, "404"},
		{"/plain", sum, "not https"},
		{"/file", "12", "no SHA-256"},
	} {
		if err := fetch(test.path, test.digits); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.path, err, test.want)
		}
	}
	if err := Fetch(t.Context(), server.Client(), "http://x/y", sum, file, nil); err == nil {
		t.Error("plain http is taken")
	}
}
