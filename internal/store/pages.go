package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"math"
	"os"
)

// pageFile reads the rows out of a database's pages without following what leads from one to the other, so that
// it finds them where SQLite gives up. The form is that of https://www.sqlite.org/fileformat2.html; numbers of
// sections stand beside what they explain.
type pageFile struct {
	file    *os.File
	size    int    // of a page
	usable  int    // of its bytes
	version uint32 // of the record's schema, where the head of the file is there
	whole   int64
	most    int64 // no id can be higher: the file would have had no room for the rows
	cut     int64 // bytes behind the last whole page
	log     *os.File
	logged  map[uint32]int64 // newest committed version of a page: its place in the log
	logLost int64            // frames of the log behind the first that is damaged
}

const sqliteMagic = "SQLite format 3\x00"

// openPages opens a database and its log, if there is one beside it.
func openPages(path string) (p *pageFile, err error) {
	p = &pageFile{logged: map[uint32]int64{}}
	if p.file, err = os.Open(path); err != nil {
		return nil, err
	}
	info, err := p.file.Stat()
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	head := make([]byte, 100)
	if _, err := p.file.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, p.close())
	}
	p.size, p.usable = pageSize, pageSize
	if bytes.HasPrefix(head, []byte(sqliteMagic)) { // 1.3
		size := int(binary.BigEndian.Uint16(head[16:]))
		if size == 1 {
			size = 65536
		}
		if size >= 512 && size&(size-1) == 0 {
			p.size, p.usable = size, size-int(head[20])
			if binary.BigEndian.Uint32(head[68:]) == applicationID {
				p.version = binary.BigEndian.Uint32(head[60:])
			}
		}
	}
	p.whole, p.cut = info.Size()/int64(p.size), info.Size()%int64(p.size)
	claimed := int64(binary.BigEndian.Uint32(head[28:])) // where the file is cut it was longer
	if p.log, err = os.Open(path + "-wal"); err == nil {
		err = p.readLog()
	} else if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	const shortest = 24 // bytes of a row and its link
	p.most = max(p.whole, claimed) * int64(p.usable) / shortest
	return p, nil
}

func (p *pageFile) close() error {
	err := p.file.Close()
	if p.log != nil {
		err = errors.Join(err, p.log.Close())
	}
	return err
}

// readLog finds the newest committed version of each page in the log (4.1 to 4.5).
func (p *pageFile) readLog() error {
	head := make([]byte, 32)
	if _, err := io.ReadFull(p.log, head); err != nil {
		return nil // an empty log
	}
	magic := binary.BigEndian.Uint32(head)
	if magic&^1 != 0x377f0682 || int(binary.BigEndian.Uint32(head[8:])) != p.size {
		return nil
	}
	var order binary.ByteOrder = binary.LittleEndian
	if magic&1 != 0 {
		order = binary.BigEndian
	}
	var a, b uint32
	sum := func(data []byte) {
		for i := 0; i+8 <= len(data); i += 8 {
			a += order.Uint32(data[i:]) + b
			b += order.Uint32(data[i+4:]) + a
		}
	}
	if sum(head[:24]); a != binary.BigEndian.Uint32(head[24:]) || b != binary.BigEndian.Uint32(head[28:]) {
		return nil
	}
	frame := make([]byte, 24+p.size)
	pending := map[uint32]int64{}
	valid := true
	for at := int64(32); ; at += int64(len(frame)) {
		if _, err := p.log.ReadAt(frame, at); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if !bytes.Equal(frame[8:16], head[16:24]) {
			return nil // the rest is of an earlier round
		}
		if sum(frame[:8]); valid {
			sum(frame[24:])
			valid = a == binary.BigEndian.Uint32(frame[16:]) && b == binary.BigEndian.Uint32(frame[20:])
		}
		if !valid {
			p.logLost++
			continue
		}
		number := binary.BigEndian.Uint32(frame)
		pending[number] = at + 24
		if binary.BigEndian.Uint32(frame[4:]) != 0 { // a commit
			for n, at := range pending {
				p.logged[n] = at
				p.whole = max(p.whole, int64(n))
			}
			clear(pending)
		}
	}
}

// page reads a page into data, which has its size.
func (p *pageFile) page(number uint32, data []byte) error {
	if at, newer := p.logged[number]; newer {
		_, err := p.log.ReadAt(data, at)
		return err
	}
	_, err := p.file.ReadAt(data, (int64(number)-1)*int64(p.size))
	return err
}

// cell is a row as it stands in a page.
type cell struct {
	rowid  int64 // 0 in a table without rowids
	values []any // nil, int64, float64, string or []byte
}

const (
	leafOfTable = 0x0d
	leafOfIndex = 0x0a
)

// cells are the rows in a page (1.6), as far as they can be read; damaged counts those that cannot.
func (p *pageFile) cells(number uint32, page []byte, damaged *int64) iter.Seq[cell] {
	return func(yield func(cell) bool) {
		head := page[:p.usable]
		at := 0
		if number == 1 {
			at = 100
		}
		kind := head[at]
		if kind != leafOfTable && kind != leafOfIndex {
			return
		}
		count := int(binary.BigEndian.Uint16(head[at+3:]))
		for i := range count {
			place := at + 8 + 2*i
			if place+2 > len(head) {
				*damaged += int64(count - i)
				return
			}
			c, err := p.cell(head, int(binary.BigEndian.Uint16(head[place:])), kind)
			if err != nil {
				*damaged++
			} else if !yield(c) {
				return
			}
		}
	}
}

var errCell = errors.New("not a row")

// maxPayload is the longest row that is believed: the texts of a part are cut, a heatmap of 256 x 256 has 128 kB.
const maxPayload = 160 << 10

func (p *pageFile) cell(page []byte, at int, kind byte) (c cell, err error) {
	if at < 8 || at >= len(page) {
		return c, errCell
	}
	length, n := varint(page[at:])
	if at += n; n == 0 || length < 1 || length > maxPayload {
		return c, errCell
	}
	most := p.usable - 35
	if kind == leafOfTable {
		if c.rowid, n = varint(page[at:]); n == 0 {
			return c, errCell
		}
		at += n
	} else {
		most = (p.usable-12)*64/255 - 23
	}
	payload, err := p.payload(page, at, int(length), most)
	if err != nil {
		return c, err
	}
	c.values, err = recordOf(payload)
	return c, err
}

// payload puts together what is in the page and on the pages that it flows over to.
func (p *pageFile) payload(page []byte, at, length, most int) ([]byte, error) {
	local := length
	if length > most {
		least := (p.usable-12)*32/255 - 23
		if local = least + (length-least)%(p.usable-4); local > most {
			local = least
		}
	}
	if at+local > len(page) {
		return nil, errCell
	}
	payload := append([]byte(nil), page[at:at+local]...)
	if local == length {
		return payload, nil
	}
	if at+local+4 > len(page) {
		return nil, errCell
	}
	next := binary.BigEndian.Uint32(page[at+local:])
	for over := make([]byte, p.size); len(payload) < length; next = binary.BigEndian.Uint32(over) {
		if next == 0 || int64(next) > p.whole {
			return nil, errCell
		}
		if err := p.page(next, over); err != nil {
			return nil, err
		}
		payload = append(payload, over[4:4+min(p.usable-4, length-len(payload))]...)
	}
	return payload, nil
}

// recordOf reads the values of a row (2.1).
func recordOf(payload []byte) (values []any, err error) {
	head, n := varint(payload)
	if n == 0 || head < int64(n) || head > int64(len(payload)) {
		return nil, errCell
	}
	types, body := payload[n:head], payload[head:]
	for len(types) > 0 {
		kind, n := varint(types)
		if n == 0 || kind < 0 {
			return nil, errCell
		}
		types = types[n:]
		var size int
		switch {
		case kind <= 9:
			size = []int{0, 1, 2, 3, 4, 6, 8, 8, 0, 0}[kind]
		case kind < 12 || kind > 2*maxPayload:
			return nil, errCell
		default:
			size = int(kind-12) / 2
		}
		if size > len(body) {
			return nil, errCell
		}
		values = append(values, valueOfKind(kind, body[:size]))
		body = body[size:]
	}
	if len(body) > 0 {
		return nil, errCell
	}
	return values, nil
}

func valueOfKind(kind int64, data []byte) any {
	switch {
	case kind == 0:
		return nil
	case kind == 7:
		return math.Float64frombits(binary.BigEndian.Uint64(data))
	case kind == 8, kind == 9:
		return kind - 8
	case kind < 7:
		v := int64(int8(data[0]))
		for _, b := range data[1:] {
			v = v<<8 | int64(b)
		}
		return v
	case kind%2 == 0:
		return append([]byte{}, data...)
	}
	return string(data)
}

// varint reads a number of 1 to 9 bytes; n is 0 where there is none.
func varint(data []byte) (v int64, n int) {
	for n < min(8, len(data)) {
		b := data[n]
		v, n = v<<7|int64(b&0x7f), n+1
		if b < 0x80 {
			return v, n
		}
	}
	if n == 8 && len(data) > 8 {
		return v<<8 | int64(data[8]), 9
	}
	return 0, 0
}
