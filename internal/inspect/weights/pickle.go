package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// The operations of pickles that files of weights use
// (https://github.com/python/cpython/blob/v3.13.0/Lib/pickletools.py). All others are refused.
const (
	opMark            = '('
	opStop            = '.'
	opPop             = '0'
	opInt             = 'I'
	opBinInt          = 'J'
	opBinInt1         = 'K'
	opBinInt2         = 'M'
	opNone            = 'N'
	opBinPersID       = 'Q'
	opReduce          = 'R'
	opBinString       = 'T'
	opShortBinString  = 'U'
	opBinUnicode      = 'X'
	opAppend          = 'a'
	opBuild           = 'b'
	opGlobal          = 'c'
	opDict            = 'd'
	opEmptyDict       = '}'
	opAppends         = 'e'
	opBinGet          = 'h'
	opLongBinGet      = 'j'
	opList            = 'l'
	opEmptyList       = ']'
	opBinPut          = 'q'
	opLongBinPut      = 'r'
	opSetItem         = 's'
	opTuple           = 't'
	opEmptyTuple      = ')'
	opSetItems        = 'u'
	opBinFloat        = 'G'
	opProto           = 0x80
	opTuple1          = 0x85
	opTuple2          = 0x86
	opTuple3          = 0x87
	opNewTrue         = 0x88
	opNewFalse        = 0x89
	opLong1           = 0x8a
	opShortBinUnicode = 0x8c
	opStackGlobal     = 0x93
	opMemoize         = 0x94
	opFrame           = 0x95
)

// What a pickle builds: nil, bool, int, float64, string, *list, *dict, global, storage, *view, and mark on
// the stack only.
type (
	list   struct{ items []any } // a list or a tuple
	dict   struct{ items map[string]any }
	global string // the name of something in Python
	mark   struct{}

	storage struct {
		kind kind
		key  string
		held int // numbers
	}
	view struct { // a tensor whose numbers are not read yet
		storage        storage
		offset         int
		shape, strides []int
	}
)

// storages are the names of PyTorch's storages.
var storages = map[global]kind{
	"torch FloatStorage":    float32s,
	"torch HalfStorage":     float16s,
	"torch DoubleStorage":   float64s,
	"torch BFloat16Storage": bfloat16s,
	"torch LongStorage":     int64s,
	"torch IntStorage":      int32s,
}

// pickle is a reader of pickles that knows a handful of names and calls nothing.
type pickle struct {
	in     *bytes.Reader
	budget int // bytes that may still be read: what is built grows with them
	stack  []any
	memo   map[int]any
}

// unpickle reads one pickle, which may be followed by something else.
func unpickle(in *bytes.Reader) (any, error) {
	p := &pickle{in: in, budget: maxHeader, memo: map[int]any{}}
	for {
		op, err := p.take(1)
		if err != nil {
			return nil, err
		}
		if op[0] == opStop {
			return p.pop()
		}
		if err := p.step(op[0]); err != nil {
			return nil, err
		}
	}
}

var errCut = errors.New("the file ends in the middle of its table of contents")

func (p *pickle) take(n int) ([]byte, error) {
	if n < 0 || n > p.budget {
		return nil, fmt.Errorf("the table of contents has more than %d bytes", maxHeader)
	}
	p.budget -= n
	if n > p.in.Len() {
		return nil, errCut
	}
	b := make([]byte, n)
	_, err := io.ReadFull(p.in, b)
	return b, err
}

// number reads an unsigned number of n bytes.
func (p *pickle) number(n int) (int, error) {
	b, err := p.take(n)
	if err != nil {
		return 0, err
	}
	var wide [8]byte
	copy(wide[:], b)
	v := binary.LittleEndian.Uint64(wide[:])
	if v > math.MaxInt32*2 {
		return 0, fmt.Errorf("a length of %d is absurd", v)
	}
	return int(v), nil
}

func (p *pickle) line() (string, error) {
	var b strings.Builder
	for {
		c, err := p.take(1)
		if err != nil {
			return "", err
		}
		if c[0] == '\n' {
			return b.String(), nil
		}
		b.WriteByte(c[0])
	}
}

func (p *pickle) push(v any) { p.stack = append(p.stack, v) }

var errStack = errors.New("the table of contents takes more than it has put down")

func (p *pickle) pop() (any, error) {
	if len(p.stack) == 0 {
		return nil, errStack
	}
	v := p.stack[len(p.stack)-1]
	p.stack = p.stack[:len(p.stack)-1]
	return v, nil
}

// popMark takes everything above the last mark, and the mark.
func (p *pickle) popMark() ([]any, error) {
	for i := len(p.stack) - 1; i >= 0; i-- {
		if _, ok := p.stack[i].(mark); ok {
			items := append([]any(nil), p.stack[i+1:]...)
			p.stack = p.stack[:i]
			return items, nil
		}
	}
	return nil, errStack
}

// popN takes n values, in the order in which they were put down.
func (p *pickle) popN(n int) ([]any, error) {
	if len(p.stack) < n {
		return nil, errStack
	}
	items := append([]any(nil), p.stack[len(p.stack)-n:]...)
	p.stack = p.stack[:len(p.stack)-n]
	return items, nil
}

func (p *pickle) top() (any, error) {
	if len(p.stack) == 0 {
		return nil, errStack
	}
	return p.stack[len(p.stack)-1], nil
}

func (p *pickle) step(op byte) error {
	switch op {
	case opMark:
		p.push(mark{})
	case opPop:
		_, err := p.pop()
		return err
	case opNone:
		p.push(nil)
	case opNewTrue, opNewFalse:
		p.push(op == opNewTrue)
	case opEmptyDict:
		p.push(&dict{map[string]any{}})
	case opEmptyList, opEmptyTuple:
		p.push(new(list))
	case opProto:
		version, err := p.number(1)
		if err == nil && version > 5 {
			err = fmt.Errorf("pickle protocol %d is newer than this program", version)
		}
		return err
	case opFrame:
		_, err := p.take(8) // the frame's length, which nothing here needs
		return err
	case opInt, opBinInt, opBinInt1, opBinInt2, opLong1, opBinFloat, opBinUnicode, opShortBinUnicode, opBinString, opShortBinString:
		v, err := p.literal(op)
		p.push(v)
		return err
	case opTuple1, opTuple2, opTuple3:
		items, err := p.popN(int(op-opTuple1) + 1)
		p.push(&list{items})
		return err
	case opTuple, opList:
		items, err := p.popMark()
		p.push(&list{items})
		return err
	case opDict:
		items, err := p.popMark()
		if err != nil {
			return err
		}
		d := &dict{map[string]any{}}
		p.push(d)
		return d.set(items)
	case opAppend, opAppends, opSetItem, opSetItems:
		return p.fill(op)
	case opBinPut, opLongBinPut, opMemoize, opBinGet, opLongBinGet:
		return p.remember(op)
	case opGlobal, opStackGlobal:
		return p.name(op)
	case opReduce:
		return p.reduce()
	case opBuild:
		return p.build()
	case opBinPersID:
		return p.persistent()
	default:
		return fmt.Errorf("the pickle asks for operation 0x%02x, which no file of weights needs; it is refused", op)
	}
	return nil
}

func (p *pickle) literal(op byte) (any, error) {
	text := func(width int) (any, error) {
		n, err := p.number(width)
		if err != nil {
			return nil, err
		}
		b, err := p.take(n)
		return string(b), err
	}
	switch op {
	case opInt:
		line, err := p.line()
		if err != nil {
			return nil, err
		}
		if line == "00" || line == "01" { // protocol 0 writes booleans so
			return line == "01", nil
		}
		return strconv.Atoi(line)
	case opBinInt:
		b, err := p.take(4)
		if err != nil {
			return nil, err
		}
		return int(int32(binary.LittleEndian.Uint32(b))), nil
	case opBinInt1:
		return p.number(1)
	case opBinInt2:
		return p.number(2)
	case opLong1:
		n, err := p.number(1)
		if err != nil {
			return nil, err
		}
		b, err := p.take(n)
		if err != nil || n > 8 {
			return string(b), err // such as the magic number of old files; it is compared as text
		}
		var v uint64
		for i := n - 1; i >= 0; i-- {
			v = v<<8 | uint64(b[i])
		}
		shift := uint(64 - 8*n)
		return int(int64(v<<shift) >> shift), nil
	case opBinFloat:
		b, err := p.take(8)
		if err != nil {
			return nil, err
		}
		return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
	case opShortBinUnicode, opShortBinString:
		return text(1)
	}
	return text(4)
}

// fill puts values into the list or dictionary below them.
func (p *pickle) fill(op byte) error {
	var items []any
	var err error
	switch op {
	case opAppend:
		items, err = p.popN(1)
	case opSetItem:
		items, err = p.popN(2)
	default:
		items, err = p.popMark()
	}
	if err != nil {
		return err
	}
	into, err := p.top()
	if err != nil {
		return err
	}
	switch into := into.(type) {
	case *list:
		if op == opAppend || op == opAppends {
			into.items = append(into.items, items...)
			return nil
		}
	case *dict:
		if op == opSetItem || op == opSetItems {
			return into.set(items)
		}
	}
	return errors.New("the table of contents fills something that is neither a list nor a dictionary")
}

// set adds keys and values that follow one another. Keys that are no text name no weights and are left out.
func (d *dict) set(items []any) error {
	if len(items)%2 != 0 {
		return errors.New("a dictionary in the file has a key without a value")
	}
	for i := 0; i < len(items); i += 2 {
		if key, ok := items[i].(string); ok {
			d.items[key] = items[i+1]
		}
	}
	return nil
}

func (p *pickle) remember(op byte) error {
	key := len(p.memo)
	var err error
	switch op {
	case opBinPut, opBinGet:
		key, err = p.number(1)
	case opLongBinPut, opLongBinGet:
		key, err = p.number(4)
	}
	if err != nil {
		return err
	}
	if op == opBinGet || op == opLongBinGet {
		v, ok := p.memo[key]
		if !ok {
			return fmt.Errorf("the table of contents refers to its entry %d, which is missing", key)
		}
		p.push(v)
		return nil
	}
	v, err := p.top()
	p.memo[key] = v
	return err
}

// name reads the name of something in Python. Only names that reduce and persistent know get further.
func (p *pickle) name(op byte) error {
	var module, name string
	if op == opGlobal {
		var err error
		if module, err = p.line(); err != nil {
			return err
		}
		if name, err = p.line(); err != nil {
			return err
		}
	} else {
		both, err := p.popN(2)
		if err != nil {
			return err
		}
		var ok1, ok2 bool
		module, ok1 = both[0].(string)
		name, ok2 = both[1].(string)
		if !ok1 || !ok2 {
			return errors.New("the pickle names something by what is no text")
		}
	}
	g := global(module + " " + name)
	if _, ok := storages[g]; !ok && g != orderedDict && g != rebuildTensor && g != rebuildParameter {
		return fmt.Errorf("the pickle asks for %s.%s of Python, which is no part of a network's weights; nothing of it was run. "+
			"Save the weights alone, with torch.save(model.state_dict(), FILE), or as .safetensors", module, name)
	}
	p.push(g)
	return nil
}

const (
	orderedDict      global = "collections OrderedDict"
	rebuildTensor    global = "torch._utils _rebuild_tensor_v2"
	rebuildParameter global = "torch._utils _rebuild_parameter"
)

// reduce builds what a call of one of the three known functions would give.
func (p *pickle) reduce() error {
	both, err := p.popN(2)
	if err != nil {
		return err
	}
	arguments, ok := both[1].(*list)
	if !ok {
		return errors.New("the pickle calls something without a list of arguments")
	}
	a := arguments.items
	switch both[0] {
	case orderedDict:
		if len(a) == 0 {
			p.push(&dict{map[string]any{}})
			return nil
		}
	case rebuildParameter:
		if len(a) >= 1 {
			p.push(a[0])
			return nil
		}
	case rebuildTensor:
		if len(a) < 4 {
			break
		}
		s, ok1 := a[0].(storage)
		offset, ok2 := a[1].(int)
		shape, ok3 := integers(a[2])
		strides, ok4 := integers(a[3])
		if ok1 && ok2 && ok3 && ok4 {
			p.push(&view{s, offset, shape, strides})
			return nil
		}
	}
	return fmt.Errorf("the pickle calls %v with arguments that it does not take", both[0])
}

func integers(v any) ([]int, bool) {
	l, ok := v.(*list)
	if !ok || len(l.items) > maxDims {
		return nil, false
	}
	numbers := make([]int, len(l.items))
	for i, item := range l.items {
		if numbers[i], ok = item.(int); !ok {
			return nil, false
		}
	}
	return numbers, true
}

// build takes the attributes of a dictionary, which PyTorch adds with version numbers, away.
func (p *pickle) build() error {
	if _, err := p.pop(); err != nil {
		return err
	}
	v, err := p.top()
	if err != nil {
		return err
	}
	if _, ok := v.(*dict); !ok {
		return errors.New("the pickle gives attributes to something that is no dictionary")
	}
	return nil
}

// persistent reads ('storage', type, key, location, numbers, …).
func (p *pickle) persistent() error {
	id, err := p.pop()
	if err != nil {
		return err
	}
	if l, ok := id.(*list); ok && len(l.items) >= 5 && l.items[0] == "storage" {
		g, ok1 := l.items[1].(global)
		key, ok2 := l.items[2].(string)
		held, ok3 := l.items[4].(int)
		k, ok4 := storages[g]
		if ok1 && ok2 && ok3 && ok4 && held >= 0 && held <= maxFile {
			p.push(storage{k, key, held})
			return nil
		}
	}
	return errors.New("the pickle refers to something that is no storage of numbers")
}
