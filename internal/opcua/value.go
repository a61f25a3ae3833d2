package opcua

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"

	"github.com/gopcua/opcua/ua"

	"linectl/internal/part"
)

// The severity of a status is in its two highest bits (Part 4, 7.39); a good status may carry
// information in others.
const (
	good = ua.StatusCode(0)
	bad  = ua.StatusCode(0x80000000)
)

func severity(s ua.StatusCode) ua.StatusCode {
	const mask = 0xC0000000
	return s & mask
}

// values holds what was read, by signal; nil where a signal is not used. Each has the Go type of the
// tag's own type: the library's accessors would turn a value of the wrong type into FALSE or 0.
type values [signals]any

// ask reads, and sees to it that there is an answer for each question.
func (s *session) ask(ctx context.Context, request *ua.ReadRequest) ([]*ua.DataValue, error) {
	response, err := s.client.Read(ctx, request)
	if err != nil {
		return nil, plain(err)
	}
	if len(response.Results) != len(request.NodesToRead) {
		return nil, fmt.Errorf("asked for %d values, got %d", len(request.NodesToRead), len(response.Results))
	}
	return response.Results, nil
}

// read reads the signals, past every cache. An input of doubtful quality, or a value of another type
// than at connect, is an error. What the PLC does not take in one request is read in several.
func (s *session) read(ctx context.Context, wanted []signal) (v values, err error) {
	for part := range slices.Chunk(wanted, s.most) {
		request := &ua.ReadRequest{TimestampsToReturn: ua.TimestampsToReturnNeither, NodesToRead: make([]*ua.ReadValueID, len(part))}
		for i, sig := range part {
			request.NodesToRead[i] = &ua.ReadValueID{NodeID: s.ids[sig], AttributeID: ua.AttributeIDValue}
		}
		results, err := s.ask(ctx, request)
		if err != nil {
			return v, err
		}
		for i, sig := range part {
			if v[sig], err = s.known(sig, results[i]); err != nil {
				return v, in(BadValue, &tagError{sig, err})
			}
		}
	}
	return v, nil
}

// known is the value of a tag, if it is known at all. An output that nobody has written yet may be
// uncertain; an input may not.
func (s *session) known(sig signal, v *ua.DataValue) (any, error) {
	quality := severity(v.Status)
	switch {
	case quality == bad, quality != good && !table[sig].output:
		return nil, fmt.Errorf("its quality is %s", statusName(v.Status))
	case v.Value == nil:
		return nil, fmt.Errorf("it has no value")
	case v.Value.Has(ua.VariantArrayValues):
		return nil, fmt.Errorf("it was %s and is now an array", typeName(s.types[sig]))
	case v.Value.Type() != s.types[sig]:
		return nil, fmt.Errorf("it was %s and is now %s", typeName(s.types[sig]), typeName(v.Value.Type()))
	}
	return v.Value.Value(), nil
}

// tagError is an answer of the PLC that makes a tag useless.
type tagError struct {
	signal signal
	err    error
}

func (e *tagError) Error() string { return fmt.Sprintf("plc.tags.%s: %v", table[e.signal].key, e.err) }
func (e *tagError) Unwrap() error { return e.err }

func (v values) is(sig signal) bool {
	b, ok := v[sig].(bool)
	return ok && b
}

func (v values) text(sig signal) string {
	switch value := v[sig].(type) {
	case nil:
		return ""
	case string:
		return value
	default:
		if number := fmt.Sprint(value); number != "0" {
			return number
		}
		return ""
	}
}

func (v values) sequence(sig signal) part.Sequence {
	switch value := v[sig].(type) {
	case uint16:
		return part.Sequence{Value: uint32(value), Bits: 16}
	case uint32:
		return part.Sequence{Value: value, Bits: 32}
	}
	return part.Sequence{}
}

func (v values) reason() part.Reason {
	value := reflect.ValueOf(v[resultCode])
	switch {
	case value.IsValid() && value.CanInt():
		return part.ReasonByCode(value.Int())
	case value.IsValid() && value.CanUint():
		return part.ReasonByCode(int64(value.Uint()))
	}
	return part.None
}

func (v values) number(sig signal) float64 {
	n := math.NaN()
	switch value := v[sig].(type) {
	case float32:
		n = float64(value)
	case float64:
		n = value
	}
	if n == part.NotScored {
		return math.NaN()
	}
	return n
}

// variant gives a value the type of the tag that it is written to. Counters run over as the tag does, and stay
// positive where its type has a sign.
func variant(t ua.TypeID, value any) *ua.Variant {
	switch v := value.(type) {
	case uint32:
		switch t {
		case ua.TypeIDUint16:
			value = uint16(v)
		case ua.TypeIDInt16:
			value = int16(v & math.MaxInt16)
		case ua.TypeIDInt32:
			value = int32(v & math.MaxInt32)
		}
	case string: // a recipe that came as a number goes back as one; "" was 0
		if t != ua.TypeIDString {
			value = integral(t, v)
		}
	case int16: // a code, which is never negative
		switch t {
		case ua.TypeIDUint16:
			value = uint16(v)
		case ua.TypeIDInt32:
			value = int32(v)
		case ua.TypeIDUint32:
			value = uint32(v)
		}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) || t == ua.TypeIDFloat && math.IsInf(float64(float32(v)), 0) {
			v = part.NotScored
		}
		value = v
		if t == ua.TypeIDFloat {
			value = float32(v)
		}
	}
	return ua.MustVariant(value)
}

// integral gives a number in text the Go type of an integer tag; what is none is 0.
func integral(t ua.TypeID, text string) any {
	signed, _ := strconv.ParseInt(text, 10, 64)
	unsigned, _ := strconv.ParseUint(text, 10, 64)
	switch t {
	case ua.TypeIDSByte:
		return int8(signed)
	case ua.TypeIDByte:
		return uint8(unsigned)
	case ua.TypeIDInt16:
		return int16(signed)
	case ua.TypeIDUint16:
		return uint16(unsigned)
	case ua.TypeIDInt32:
		return int32(signed)
	case ua.TypeIDUint32:
		return uint32(unsigned)
	case ua.TypeIDInt64:
		return signed
	}
	return unsigned
}
