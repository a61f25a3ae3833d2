package weights

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"linectl/internal/hint"
)

// stall is how long a server may send nothing.
const stall = 30 * time.Second

// Fetch downloads a file over https. What came before a connection broke is kept beside the file, with the
// ending .part, and the next call goes on from there. The file gets its name only when it has the given SHA-256; one
// with other content is deleted.
func Fetch(ctx context.Context, client *http.Client, address, sum, file string, progress func(done, total int64)) error {
	f := fetcher{client: *client, address: address, part: file + ".part", progress: progress, stall: stall}
	f.client.CheckRedirect = func(to *http.Request, via []*http.Request) error {
		if to.URL.Scheme != "https" {
			return fmt.Errorf("the server sends us on to %s, which is not https", to.URL.Redacted())
		}
		if len(via) > 5 {
			return errors.New("the server sends us on more than five times")
		}
		return nil
	}
	if err := f.run(ctx, sum); err != nil {
		return err
	}
	return os.Rename(f.part, file)
}

type fetcher struct {
	client   http.Client
	address  string
	part     string
	stall    time.Duration
	progress func(done, total int64)
}

func (f fetcher) run(ctx context.Context, expected string) error {
	if u, err := url.Parse(f.address); err != nil || u.Scheme != "https" || u.Host == "" {
		return hint.New(hint.Usage, fmt.Errorf("%q is no address that begins with https://", f.address), "only https is used; another way to get the file is 'linectl backbone import FILE'")
	}
	out, err := os.OpenFile(f.part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	have, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if err := f.download(ctx, out, have); err != nil {
		return hint.New(hint.Failure, fmt.Errorf("fetch %s: %w", f.address, err),
			"repeat the command: it goes on where it stopped. Without a way to the server, copy the file by hand and use 'linectl backbone import FILE'")
	}
	hash := sha256.New()
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.Copy(hash, out); err != nil {
		return err
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != expected {
		err := fmt.Errorf("what %s sent is not the file that is expected: its SHA-256 is %s and not %s", f.address, sum, expected)
		return hint.New(hint.Damage, errors.Join(err, os.Remove(f.part)), "nothing of it was kept; try again, or another source with --from")
	}
	return out.Sync()
}

// download brings what the part file lacks, of which it holds the first bytes already.
func (f fetcher) download(ctx context.Context, out *os.File, have int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(f.stall, func() { cancel(fmt.Errorf("the server sent nothing for %s", f.stall)) })
	defer silent.Stop()

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.address, nil)
	if err != nil {
		return err
	}
	if have > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	reply, err := f.client.Do(request)
	if err != nil {
		return because(ctx, err)
	}
	defer reply.Body.Close()
	total := reply.ContentLength
	switch {
	case reply.StatusCode == http.StatusPartialContent && have > 0:
		begin, end, ok := strings.Cut(strings.TrimPrefix(reply.Header.Get("Content-Range"), "bytes "), "-")
		if n, err := strconv.ParseInt(begin, 10, 64); err != nil || n != have || !ok {
			return fmt.Errorf("the server was asked for the bytes from %d and sends %q%s", have, begin, end)
		}
		if total >= 0 {
			total += have
		}
	case reply.StatusCode == http.StatusOK: // from the beginning, whether we asked for it or not
		have = 0
	case reply.StatusCode == http.StatusRequestedRangeNotSatisfiable && have > 0:
		return nil // nothing is missing; the checksum tells whether that is so
	default:
		return fmt.Errorf("the server answers %q", reply.Status)
	}
	if total > maxFile {
		return fmt.Errorf("the file has %d bytes; at most %d are fetched", total, maxFile)
	}
	if err := out.Truncate(have); err != nil {
		return err
	}
	if _, err := out.Seek(have, io.SeekStart); err != nil {
		return err
	}
	body := io.LimitReader(reply.Body, maxFile-have+1)
	buffer := make([]byte, 256<<10)
	for {
		n, err := body.Read(buffer)
		silent.Reset(f.stall)
		if n > 0 {
			if _, err := out.Write(buffer[:n]); err != nil {
				return err
			}
			if have += int64(n); have > maxFile {
				return fmt.Errorf("the server sends more than %d bytes", maxFile)
			}
			f.progress(have, total)
		}
		if err == io.EOF {
			if total >= 0 && have != total {
				return fmt.Errorf("%d of %d bytes came", have, total)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("%d of %d bytes came: %w", have, total, because(ctx, err))
		}
	}
}

// because tells why the context ended where that is why err came about.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}
