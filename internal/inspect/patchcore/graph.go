// Package patchcore compares the patches of a picture with those of good parts: the embedding, the
// coreset that becomes the memory bank, and the score.
//
// The method is PatchCore (Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR
// 2022) as anomalib has it: each layer averaged over 3x3, coarser layers brought to the finest one's
// grid, channels joined; the distance of each patch to the nearest vector of the bank; the greatest of
// these distances is the score. linectl's default adds how unusual the picture is as a whole (Appearance). It
// refuses to know what a threshold is.
package patchcore

import (
	"fmt"

	"linectl/internal/inspect/network"
	"linectl/internal/inspect/onnx"
)

// embedding adds the nodes that turn feature maps into "patches" [dim, grid]: one column a patch, row by
// row of the grid from the top. It returns dim and grid.
func embedding(g *onnx.Graph, features []network.Feature) (dim, grid int) {
	finest := features[0]
	grid = finest.Width * finest.Height
	g.Int64s("flat", -1, int64(grid))
	var joined []string
	for i, f := range features {
		layer := fmt.Sprintf("feature%d", i)
		g.Input(layer, 1, f.Channels, f.Height, f.Width)
		// Borders are averaged with zeros, as torch's AvgPool2d does.
		g.Node("AveragePool", layer+".pooled", []string{layer},
			onnx.Ints("kernel_shape", 3, 3), onnx.Ints("pads", 1, 1, 1, 1), onnx.Int("count_include_pad", 1))
		name := layer + ".pooled"
		if f.Width != finest.Width || f.Height != finest.Height {
			g.Int64s(layer+".size", 1, int64(f.Channels), int64(finest.Height), int64(finest.Width))
			g.Node("Resize", layer+".resized", []string{name, "", "", layer + ".size"},
				onnx.Text("mode", "linear"), onnx.Text("coordinate_transformation_mode", "half_pixel"))
			name = layer + ".resized"
		}
		joined = append(joined, name)
	}
	g.Node("Concat", "joined", joined, onnx.Int("axis", 1))
	g.Node("Reshape", "patches", []string{"joined", "flat"})
	return Dim(features), grid
}

// mean adds the output "patches.mean" [1, dim, 1, 1]: that of the patches.
func mean(g *onnx.Graph, dim int) {
	g.Node("GlobalAveragePool", "patches.mean", []string{"joined"})
	g.Output("patches.mean", 1, dim, 1, 1)
}

// inputs binds the features to the inputs that embedding declares.
func inputs(features []network.Feature) []network.Port {
	ports := make([]network.Port, len(features))
	for i, f := range features {
		ports[i] = network.Port{Name: fmt.Sprintf("feature%d", i), Tensor: f.Tensor}
	}
	return ports
}
