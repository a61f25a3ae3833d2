"""Store the weights of an ONNX network as float16: half the size, the same graph.

    python tools/backbone/half.py IN.onnx OUT.onnx

Every float32 initialiser becomes float16 followed by a Cast back to float32, which ONNX Runtime
folds into a constant when it loads the file: inspection computes in float32 as before. Biases are
few and stay as they are. The metadata of the file is kept. Needs the Python package onnx (1.16 or
newer); prints the SHA-256 that the card beside the network has to name.
"""

import hashlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def halve(model):
    """Changes the model in place and gives it back."""
    graph = model.graph
    casts = []
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT or len(weight.dims) < 2:
            continue
        name, values = weight.name, numpy_helper.to_array(weight)
        half = values.astype(np.float16)
        if not np.isfinite(half).all():
            sys.exit(f"{name}: a weight does not fit into float16")
        weight.CopyFrom(numpy_helper.from_array(half, name + ".half"))
        casts.append(helper.make_node("Cast", [name + ".half"], [name], to=TensorProto.FLOAT))
    nodes = casts + list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model


def main():
    source, target = sys.argv[1:]
    data = halve(onnx.load(source)).SerializeToString(deterministic=True)
    with open(target, "wb") as f:
        f.write(data)
    print(hashlib.sha256(data).hexdigest())


if __name__ == "__main__":
    main()
