package opcua

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"
)

// encoded is a data value as it comes over the wire.
func encoded(f *testing.F, v *ua.DataValue) []byte {
	f.Helper()
	b, err := v.Encode()
	if err != nil {
		f.Fatal(err)
	}
	return b
}

// decoded is what the library makes of it; nil where it refuses it, or panics, as it does for arrays of less
// than no elements (gopcua/opcua#892).
func decoded(wire []byte) (v *ua.DataValue) {
	defer func() {
		if recover() != nil {
			v = nil
		}
	}()
	v = &ua.DataValue{}
	if _, err := v.Decode(wire); err != nil {
		return nil
	}
	return v
}

// Whatever a PLC sends as the value of a tag, at connect or later: it is refused, or it is one single value of a
// type that the signal may have, and everything that is made of it can be made.
func FuzzTagValue(f *testing.F) {
	for _, v := range []any{true, uint16(7), int16(-1), uint32(1 << 31), "P-1", float32(0.5), []uint16{1, 2}, []bool{}, int64(-1), byte(1), time.Unix(0, 0), []string{"a"}, [][]uint16{{1}, {2}}} {
		f.Add(encoded(f, &ua.DataValue{EncodingMask: ua.DataValueValue, Value: ua.MustVariant(v)}))
		f.Add(encoded(f, &ua.DataValue{EncodingMask: ua.DataValueValue | ua.DataValueStatusCode, Value: ua.MustVariant(v), Status: ua.StatusUncertain}))
	}
	f.Add(encoded(f, &ua.DataValue{EncodingMask: ua.DataValueStatusCode, Status: ua.StatusBadNodeIDUnknown}))
	f.Add(encoded(f, &ua.DataValue{}))
	f.Fuzz(func(t *testing.T, wire []byte) {
		now := decoded(wire)
		if now == nil {
			t.Skip()
		}
		for sig := range signals {
			fresh := newSession(goodConfig(), usual())
			if err := fresh.admit(sig, now, &ua.DataValue{}); err == nil {
				is(t, sig, now, fresh.types[sig])
			}
			for _, known := range table[sig].types {
				s := newSession(goodConfig(), usual())
				s.ids[sig], s.types[sig] = ua.NewNumericNodeID(1, 1), known
				value, err := s.known(sig, now)
				if err != nil {
					continue
				}
				is(t, sig, now, known)
				var v values
				v[sig] = value
				at := time.Unix(1, 0)
				first := first{v, at}
				first.snapshot()
				w := newWatch(first.sample(), false, time.Second)
				w.see(v.sample(at.Add(time.Second)))
				v.text(sig)
				v.number(sig)
			}
			// The same, told by a subscription.
			s := newSession(goodConfig(), usual())
			s.ids[sig], s.types[sig] = ua.NewNumericNodeID(1, 1), table[sig].types[0]
			var v values
			told := &ua.DataChangeNotification{MonitoredItems: []*ua.MonitoredItemNotification{{ClientHandle: uint32(sig), Value: now}, {ClientHandle: ^uint32(sig), Value: now}}}
			if s.take(&opcua.PublishNotificationData{Value: told}, &v) == nil {
				is(t, sig, now, table[sig].types[0])
			}
		}
	})
}

// is fails unless the value is a single one of the type, which is one that the signal may have.
func is(t *testing.T, sig signal, v *ua.DataValue, want ua.TypeID) {
	t.Helper()
	if v.Value == nil || v.Value.Type() != want || v.Value.Has(ua.VariantArrayValues) || !slices.Contains(table[sig].types, want) || !reflect.TypeOf(v.Value.Value()).Comparable() {
		t.Fatalf("%s took %#v, status %v", table[sig].key, v.Value, v.Status)
	}
}

// What a PLC says of its limits never makes requests that nobody could serve.
func FuzzOperationLimits(f *testing.F) {
	f.Add(uint32(0), uint32(10), uint32(1<<31), uint32(30))
	f.Add(uint32(4), uint32(0), uint32(0), uint32(0))
	f.Fuzz(func(t *testing.T, a, b, c, d uint32) {
		var results []*ua.DataValue
		for _, n := range []uint32{a, b, c, d} {
			results = append(results, &ua.DataValue{Value: ua.MustVariant(n)})
		}
		results = append(results, nil, &ua.DataValue{}, &ua.DataValue{Value: ua.MustVariant("10")}, &ua.DataValue{Value: ua.MustVariant(uint32(1)), Status: ua.StatusBad})
		for _, n := range []uint32{a, b, c, d} {
			most := fewest(usualNodes, results)
			if most < 1 || most > usualNodes || n > 0 && uint32(most) > n {
				t.Errorf("%d of %d, %d, %d, %d", most, a, b, c, d)
			}
		}
	})
}
