package weights

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// parseZip reads a .pth file as PyTorch writes it since version 1.6: a zip with NAME/data.pkl and the
// storages in NAME/data/KEY.
func parseZip(data []byte) (Dict, error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("this .pth file is damaged: %w", err)
	}
	var contents *zip.File
	files := map[string]*zip.File{}
	for _, f := range z.File {
		files[f.Name] = f
		if strings.HasSuffix(f.Name, "/data.pkl") && strings.Count(f.Name, "/") == 1 {
			contents = f
		}
	}
	if contents == nil {
		return nil, errors.New("this zip holds no data.pkl, so it is no .pth file of PyTorch")
	}
	if contents.UncompressedSize64 > maxHeader {
		return nil, fmt.Errorf("the table of contents has more than %d bytes", maxHeader)
	}
	pickled, err := unzip(contents, int(contents.UncompressedSize64))
	if err != nil {
		return nil, err
	}
	tree, err := unpickle(bytes.NewReader(pickled))
	if err != nil {
		return nil, err
	}
	folder := strings.TrimSuffix(contents.Name, "data.pkl")
	if f := files[folder+"byteorder"]; f != nil {
		if order, err := unzip(f, min(int(f.UncompressedSize64), 16)); err != nil || string(order) != "little" {
			return nil, fmt.Errorf("the numbers of this file lie in %q byte order; only little is read", order)
		}
	}
	left := maxFile
	return collect(tree, func(s storage) ([]byte, error) {
		f := files[folder+"data/"+s.key]
		if f == nil {
			return nil, fmt.Errorf("the storage %q is missing in the file", s.key)
		}
		size := s.held * s.kind.size
		if f.UncompressedSize64 < uint64(size) {
			return nil, fmt.Errorf("the storage %q has %d bytes; %d are needed", s.key, f.UncompressedSize64, size)
		}
		if left -= size; left < 0 {
			return nil, fmt.Errorf("the file unpacks to more than %d bytes", maxFile)
		}
		return unzip(f, size)
	})
}

// unzip reads the first size bytes of a file in a zip, and no more whatever the file holds.
func unzip(f *zip.File, size int) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("%s in the file: %w", f.Name, err)
	}
	defer r.Close()
	// What is claimed is only believed as far as it comes.
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(r, int64(size)))
	if err == nil && n < int64(size) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("%s in the file: %w", f.Name, err)
	}
	return b.Bytes(), nil
}

// legacyMagic begins files from before PyTorch 1.6: the number 0x1950a86a20f9469cfc6c.
const legacyMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"

// parseLegacy reads a .pth file of the older form: pickles of the magic number, a version, the machine and
// the contents, then the keys of the storages, then each storage behind its length.
func parseLegacy(data []byte) (Dict, error) {
	in := bytes.NewReader(data)
	var head [5]any
	for i := range head {
		var err error
		if head[i], err = unpickle(in); err != nil {
			return nil, err
		}
		if i == 0 && head[0] != legacyMagic {
			return nil, errors.New("this is a pickle, but no file of weights that PyTorch wrote")
		}
	}
	if machine, ok := head[2].(*dict); ok && machine.items["little_endian"] == false {
		return nil, errors.New("the numbers of this file lie in big byte order; only little is read")
	}
	keys, ok := head[4].(*list)
	if !ok {
		return nil, errors.New("the file lacks the list of its storages")
	}
	at := map[string]int{} // where the content of a storage begins
	kinds := map[string]kind{}
	var walk func(any, int)
	walk = func(v any, depth int) {
		switch v := v.(type) {
		case *dict:
			if depth < 4 {
				for _, item := range v.items {
					walk(item, depth+1)
				}
			}
		case *view:
			kinds[v.storage.key] = v.storage.kind
		}
	}
	walk(head[3], 0)
	position := len(data) - in.Len()
	for _, k := range keys.items {
		key, ok := k.(string)
		kind, used := kinds[key]
		if !ok || !used {
			return nil, fmt.Errorf("the file holds a storage %v that nothing refers to", k)
		}
		if len(data)-position < 8 {
			return nil, io.ErrUnexpectedEOF
		}
		held := binary.LittleEndian.Uint64(data[position:])
		position += 8
		if held > uint64(len(data)-position)/uint64(kind.size) {
			return nil, fmt.Errorf("the storage %q is cut off", key)
		}
		at[key] = position
		position += int(held) * kind.size
	}
	return collect(head[3], func(s storage) ([]byte, error) {
		begin, ok := at[s.key]
		if size := s.held * s.kind.size; ok && size <= len(data)-begin {
			return data[begin : begin+size], nil
		}
		return nil, fmt.Errorf("the storage %q is missing in the file", s.key)
	})
}

// wrappers are the keys under which training programs put the weights beside other things.
var wrappers = []string{"state_dict", "model", "model_state_dict"}

// collect reads the tensors of a dictionary of weights; each storage is asked for once.
func collect(tree any, read func(storage) ([]byte, error)) (Dict, error) {
	d, ok := tree.(*dict)
	if !ok {
		return nil, errors.New("the file holds no dictionary of weights")
	}
	for _, key := range wrappers {
		if inner, ok := d.items[key].(*dict); ok {
			d = inner
			break
		}
	}
	loaded := map[string][]byte{}
	weights := Dict{}
	total := 0
	for name, item := range d.items {
		v, ok := item.(*view)
		if !ok {
			continue
		}
		bytes, ok := loaded[v.storage.key]
		if !ok {
			var err error
			if bytes, err = read(v.storage); err != nil {
				return nil, fmt.Errorf("weights %q: %w", name, err)
			}
			loaded[v.storage.key] = bytes
		}
		// Many names may share one storage; together they may not become more than a file.
		if n, err := count(v.shape); err != nil || total+n > maxFile/4 {
			return nil, errors.Join(fmt.Errorf("weights %q: all weights together are more than %d numbers", name, maxFile/4), err)
		} else {
			total += n
		}
		t, err := strided(bytes, v.storage.kind, v.offset, v.shape, v.strides)
		if err != nil {
			return nil, fmt.Errorf("weights %q: %w", name, err)
		}
		weights[strings.TrimPrefix(name, "module.")] = t
	}
	if len(weights) == 0 {
		return nil, errors.New("the file holds no weights")
	}
	return weights, nil
}
