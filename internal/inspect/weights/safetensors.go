package weights

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

var safeKinds = map[string]kind{"F64": float64s, "F32": float32s, "F16": float16s, "BF16": bfloat16s, "I64": int64s, "I32": int32s}

// parseSafetensors reads the format of https://github.com/huggingface/safetensors#format: the length of a
// JSON header, the header, then the numbers.
func parseSafetensors(data []byte) (Dict, error) {
	length := binary.LittleEndian.Uint64(data)
	if length > maxHeader {
		return nil, fmt.Errorf("the header has %d bytes; at most %d are read", length, maxHeader)
	}
	if length > uint64(len(data)-8) {
		return nil, errors.New("the file ends in the middle of its header")
	}
	var header map[string]json.RawMessage
	if err := json.Unmarshal(data[8:8+length], &header); err != nil {
		return nil, fmt.Errorf("the header is damaged: %w", err)
	}
	body := data[8+length:]
	weights := Dict{}
	total := 0
	for name, text := range header {
		if name == "__metadata__" {
			continue
		}
		var entry struct {
			DType   string `json:"dtype"`
			Shape   []int  `json:"shape"`
			Offsets [2]int `json:"data_offsets"`
		}
		if err := json.Unmarshal(text, &entry); err != nil {
			return nil, fmt.Errorf("weights %q: %w", name, err)
		}
		k, ok := safeKinds[entry.DType]
		if !ok {
			return nil, fmt.Errorf("weights %q are of type %q, which is not read", name, entry.DType)
		}
		n, err := count(entry.Shape)
		if err != nil {
			return nil, fmt.Errorf("weights %q: %w", name, err)
		}
		begin, end := entry.Offsets[0], entry.Offsets[1]
		if begin < 0 || end < begin || end > len(body) || end-begin != n*k.size {
			return nil, fmt.Errorf("weights %q of shape %v lie at %d to %d of %d bytes, which does not fit", name, entry.Shape, begin, end, len(body))
		}
		if total += n; total > maxFile/4 {
			return nil, fmt.Errorf("weights %q: all weights together are more than %d numbers", name, maxFile/4)
		}
		t := Tensor{Shape: entry.Shape, Values: make([]float32, n)}
		for i := range t.Values {
			t.Values[i] = k.decode(body[begin+i*k.size:])
		}
		weights[name] = t
	}
	if len(weights) == 0 {
		return nil, errors.New("the file holds no weights")
	}
	return weights, nil
}
