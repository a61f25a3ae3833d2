package patchcore

import (
	"math"

	"linectl/internal/inspect/onnx"
)

// nearestFloat32 adds the nodes that make "squared" [grid] of "patches": |q-b|² = |q|² + (|b|² - 2qb). The
// bracket is one Gemm with a constant that is packed once, and its minimum over the bank is taken before
// |q|² is added. Adding last also carries NaN through, which a minimum may swallow; the root and the clamp
// at zero are left to Go for the same reason.
func nearestFloat32(g *onnx.Graph, bank Bank, norms []float32) {
	doubled := make([]float32, len(bank.Vectors))
	for i, v := range bank.Vectors {
		doubled[i] = -2 * v
	}
	g.Float32s("bank", doubled, bank.Rows, bank.Dim)
	g.Float32s("norms", norms, bank.Rows)
	g.Node("Gemm", "bracket", []string{"patches", "bank", "norms"}, onnx.Int("transA", 1), onnx.Int("transB", 1))
	g.Node("ReduceMin", "nearest", []string{"bracket"}, onnx.Ints("axes", 1), onnx.Int("keepdims", 0))
	// Two operations, for ReduceSumSquare down the columns takes ten times as long.
	g.Node("Mul", "terms", []string{"patches", "patches"})
	g.Int64s("axis", 0)
	g.Node("ReduceSum", "own", []string{"terms", "axis"}, onnx.Int("keepdims", 0))
	g.Node("Add", "squared", []string{"nearest", "own"})
}

// int8Most is the greatest number in the int8 bank. Processors without VNNI add two products of a patch's
// 8 and the bank's 8 bits in 16 bits, which saturate: 2*255*64 fits, 2*255*127 would not.
const int8Most = 64

// nearestInt8 is nearestFloat32 with products of whole numbers. The bank's mean is taken from both sides,
// which leaves distances as they are and the numbers small. With x^ for x as rounded to its grid and e for
// the rest, |q^-b^|² = |q-b|² + |eq-eb|² - 2(q-b)(eq-eb): the error grows with the distance and not with the
// vectors, and the two sums of squares that are certain in it, |eq|² and |eb|², are taken off.
func nearestInt8(g *onnx.Graph, bank Bank) {
	mean := make([]float32, bank.Dim)
	for j := range mean {
		var sum float64
		for i := range bank.Rows {
			sum += float64(bank.Vectors[i*bank.Dim+j])
		}
		mean[j] = float32(sum / float64(bank.Rows))
	}
	rounded := make([]int8, len(bank.Vectors)) // [Dim, Rows]
	scale, norms := make([]float32, bank.Rows), make([]float32, bank.Rows)
	for i := range bank.Rows {
		var most float64
		for j, v := range bank.vector(i) {
			most = max(most, math.Abs(float64(v-mean[j])))
		}
		step := max(most/int8Most, 1e-20) // of a row that is the mean itself: all zeros
		scale[i] = float32(-2 * step)
		var sum float64
		for j, v := range bank.vector(i) {
			exact := float64(v - mean[j])
			whole := math.Round(exact / step)
			rounded[j*bank.Rows+i] = int8(whole)
			sum += whole*step*whole*step - (exact-whole*step)*(exact-whole*step)
		}
		norms[i] = float32(sum)
	}
	g.Float32s("mean", mean, bank.Dim, 1)
	g.Int8s("bank", rounded, bank.Dim, bank.Rows)
	g.Float32s("scale", scale, bank.Rows)
	g.Float32s("norms", norms, bank.Rows)

	g.Node("Sub", "centred", []string{"patches", "mean"})
	g.NodeOf("DynamicQuantizeLinear", []string{"whole", "step", "zero"}, []string{"centred"})
	g.Node("Transpose", "rows", []string{"whole"}, onnx.Ints("perm", 1, 0))
	// ONNX Runtime makes one operation of these four.
	g.Node("MatMulInteger", "product", []string{"rows", "bank", "zero"})
	g.Node("Cast", "product.float", []string{"product"}, onnx.Int("to", onnx.Float32))
	g.Node("Mul", "steps", []string{"step", "scale"})
	g.Node("Mul", "scaled", []string{"product.float", "steps"})
	g.Node("Add", "bracket", []string{"scaled", "norms"})
	g.Node("ReduceMin", "nearest", []string{"bracket"}, onnx.Ints("axes", 1), onnx.Int("keepdims", 0))
	// |q^|² - |q-q^|² = q(2q^-q). It carries NaN.
	g.Float32s("two", []float32{2})
	g.Node("Mul", "two.steps", []string{"step", "two"})
	g.Node("DequantizeLinear", "twice", []string{"whole", "two.steps", "zero"})
	g.Node("Sub", "mirrored", []string{"twice", "centred"})
	g.Node("Mul", "terms", []string{"mirrored", "centred"})
	g.Int64s("axis", 0)
	g.Node("ReduceSum", "own", []string{"terms", "axis"}, onnx.Int("keepdims", 0))
	g.Node("Add", "squared", []string{"nearest", "own"})
}
