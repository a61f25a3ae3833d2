package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"linectl/internal/hint"
	"linectl/internal/part"
	"linectl/internal/setting"
	"linectl/internal/whole"
)

// unfinished is the folder within the pictures in which files are written before they get their name.
const unfinished = ".unfinished"

// jpegQuality is that of pictures of passed parts: they show that the light was right, not a defect.
const jpegQuality = 90

// pictures writes picture files after the verdict: encoding takes longer than many a cycle. The file
// comes first, then its row, so that a row never names a file that is not there.
type pictures struct {
	record  string
	folder  string
	keep    Keep
	minFree setting.Bytes
	lowest  setting.Bytes
	rows    *writer
	log     *slog.Logger
	dropped *losses
	outage  *outage
	ready   bool         // the folder has been prepared; of run alone
	begun   atomic.Int64 // the id of the picture that was begun last

	mu     sync.Mutex
	closed bool
	queue  chan picture
	done   chan struct{}
}

type picture struct {
	id      int64
	frame   part.Frame
	verdict part.Verdict
}

// newPictures keeps pictures of a record that had no part yet, or had. The folder is looked at by run alone: it may be on a share that
// does not answer, and neither a start nor the line may wait for that.
func newPictures(c Config, empty bool, rows *writer, log *slog.Logger) *pictures {
	p := &pictures{
		record: c.Path, folder: c.Pictures, keep: c.Keep, minFree: c.MinFree, lowest: c.lowest(), rows: rows, log: log,
		dropped: newLosses(log, "picture not kept"),
		queue:   make(chan picture, c.PictureQueue),
		done:    make(chan struct{}),
	}
	p.outage = &outage{quiet: time.Minute, note: p.note}
	go p.run(empty)
	return p
}

// note adds a line to the log book.
func (p *pictures) note(kind, detail string) {
	at := time.Now()
	p.rows.put("event", func(tx *ledger) error { return insertEvent(tx, at, kind, "linectl", detail) })
}

func (p *pictures) prepare() error {
	err := preparePictures(p.folder)
	p.ready = err == nil
	return err
}

// preparePictures makes the folder, sees whether it can be written, and removes what a crash left behind.
func preparePictures(folder string) error {
	work := filepath.Join(folder, unfinished)
	err := os.MkdirAll(work, 0o755)
	if err == nil {
		var left []os.DirEntry
		left, err = os.ReadDir(work)
		for _, f := range left {
			err = errors.Join(err, os.Remove(filepath.Join(work, f.Name())))
		}
	}
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(work, "probe"); err == nil {
			err = errors.Join(f.Close(), os.Remove(f.Name()))
		}
	}
	if err != nil {
		return hint.New(hint.Failure, fmt.Errorf("the folder of pictures %s: %w", folder, err),
			"linectl's user must be allowed to write in store.pictures; or set keep = \"none\" in [store]")
	}
	return nil
}

func (p *pictures) put(id int64, frame part.Frame, verdict part.Verdict) {
	if !p.keep.wants(verdict) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.dropped.add(errClosed, "id", id)
		return
	}
	select {
	case p.queue <- picture{id, frame, verdict}:
	default:
		p.drop(id, fmt.Errorf("%d pictures wait to be written", cap(p.queue)))
	}
}

// lose counts a picture that never came here, if it was to be kept.
func (p *pictures) lose(id int64, verdict part.Verdict, why error) {
	if p.keep.wants(verdict) {
		p.drop(id, why)
	}
}

func (p *pictures) drop(id int64, why error) {
	p.dropped.add(why, "id", id)
	p.outage.lose(id, why)
}

// run prepares the folder and writes what comes. Where the folder cannot be prepared the line runs all the same: each picture that is
// lost is told, and each is tried anew.
func (p *pictures) run(empty bool) {
	defer close(p.done)
	if empty {
		p.noteOthers()
	}
	if p.keep != KeepNone {
		if err := p.prepare(); err != nil {
			p.log.Error("no pictures can be kept; the line runs without them", "error", err, "hint", hint.Of(err))
		}
	}
	for picture := range p.queue {
		p.begun.Store(picture.id)
		if err := p.write(picture); err != nil {
			p.drop(picture.id, err)
		} else {
			p.outage.kept(picture.id)
		}
	}
}

// close writes the pictures that wait, but waits for no folder that does not answer.
func (p *pictures) close() error {
	p.mu.Lock()
	p.closed = true
	close(p.queue)
	p.mu.Unlock()
	defer p.outage.end()
	for {
		begun := p.begun.Load()
		select {
		case <-p.done:
			return nil
		case <-time.After(hangLimit):
		}
		if p.begun.Load() == begun {
			return p.giveUp(begun)
		}
	}
}

// giveUp loses the picture that is being written, if there is one, and all that wait behind it.
func (p *pictures) giveUp(begun int64) error {
	hangs := fmt.Errorf("the folder of pictures %s has not answered for %s", p.folder, hangLimit)
	lost := 0
	if begun != 0 {
		p.drop(begun, hangs)
		lost++
	}
	for picture := range p.queue {
		p.drop(picture.id, hangs)
		lost++
	}
	return hint.New(hint.Failure, fmt.Errorf("%w; %d pictures that were to be written are lost", hangs, lost),
		"see to the share or the disk that store.pictures is on; the rows of the parts are in the record")
}

func (p *pictures) write(pic picture) error {
	if !p.ready {
		if err := p.prepare(); err != nil {
			return err
		}
	}
	least := p.lowest
	if pic.verdict == part.Pass {
		least = p.minFree
	}
	if err := enoughFree(p.folder, least); err != nil {
		return err
	}
	at := time.Now().UTC()
	data, extension, err := encode(pic.frame, pic.verdict)
	if err != nil {
		return err
	}
	name := strconv.FormatInt(pic.id, 10) + "-" + plain(pic.frame.Camera) + extension
	path := filepath.Join(at.Format("2006/01/02"), name)
	if err := p.writeFile(path, data); err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	f := pic.frame
	bits := hashOf(f).String()
	p.rows.put("row of a picture", func(tx *ledger) error {
		id, err := tx.add(frames, pic.id, fit(f.Camera), f.ExposedAt.UnixMicro(), fit(f.Source), int64(f.Width), int64(f.Height), path, int64(len(data)), hex.EncodeToString(sum[:]))
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO frame_hash (inspection_id, frame_id, bits) VALUES (?, ?, ?)`, pic.id, id, bits)
		return err
	})
	return nil
}

// plain is a camera's name as part of a file's name.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, name[:min(len(name), 64)])
}

// writeFile makes the file durable before it gets its name.
func (p *pictures) writeFile(path string, data []byte) error {
	scratch := filepath.Join(p.folder, unfinished)
	if _, err := os.Stat(scratch); err != nil {
		return err // a share that is not mounted any more: nothing is written to where it was
	}
	if _, err := os.Lstat(filepath.Join(p.folder, path)); err == nil { // of another record, which gave the same id
		if err := toOrphans(p.folder, path); err != nil {
			return err
		}
	}
	path = filepath.Join(p.folder, path)
	if err := whole.Folder(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return whole.WriteFrom(scratch, path, 0o644, whole.Bytes(data))
}

// encode keeps a rejected part without loss: it is evidence, and material to train on.
func encode(f part.Frame, verdict part.Verdict) (data []byte, extension string, err error) {
	if f.Width <= 0 || f.Height <= 0 || len(f.Pixels) != f.Width*f.Height*3 {
		return nil, "", fmt.Errorf("a frame of %d x %d pixels has %d bytes", f.Width, f.Height, len(f.Pixels))
	}
	var out bytes.Buffer
	if verdict == part.Pass {
		err = jpeg.Encode(&out, pictureOf(f), &jpeg.Options{Quality: jpegQuality})
		return out.Bytes(), ".jpg", err
	}
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	err = encoder.Encode(&out, pictureOf(f))
	return out.Bytes(), ".png", err
}

// pictureOf is the frame as the encoders want it. A frame without colour becomes a grey picture, which
// is the same at a third of the size.
func pictureOf(f part.Frame) image.Image {
	bounds := image.Rect(0, 0, f.Width, f.Height)
	grey := image.NewGray(bounds)
	for i := range grey.Pix {
		b, g, r := f.Pixels[3*i], f.Pixels[3*i+1], f.Pixels[3*i+2]
		if b != g || g != r {
			return colourOf(f, bounds)
		}
		grey.Pix[i] = g
	}
	return grey
}

func colourOf(f part.Frame, bounds image.Rectangle) image.Image {
	colour := image.NewRGBA(bounds)
	for i := range f.Width * f.Height {
		p, q := f.Pixels[3*i:3*i+3:3*i+3], colour.Pix[4*i:4*i+4:4*i+4]
		q[0], q[1], q[2], q[3] = p[2], p[1], p[0], 255
	}
	return colour
}
