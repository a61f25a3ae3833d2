"""How long networks take in ONNX Runtime on the CPU, one picture at a time: the least, p50 and p95 of so many runs each.

    tools/backbone/make.sh latency [--avx2] NETWORK.onnx …

--avx2 hides AVX-512 from the process, which shows what processors without it take (avx2/hide.c).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime

HIDDEN = "LINECTL_AVX512_IS_HIDDEN"


def without_avx512():
    """Runs this program again, in a process that sees no AVX-512."""
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "avx2", "hide.c")
    with tempfile.TemporaryDirectory() as folder:
        library = os.path.join(folder, "hide.so")
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
        return subprocess.run([sys.executable, *sys.argv], env=os.environ | {"LD_PRELOAD": library, HIDDEN: "1"}).returncode


def measure(path, side, runs, threads):
    """Seconds of each run on a picture of side x side, without the map of stride 4, which linectl does not read."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options)
    outputs = [o.name for o in session.get_outputs()][-2:]
    feed = {session.get_inputs()[0].name: np.random.default_rng(1).normal(size=(1, 3, side, side)).astype(np.float32)}
    seconds = []
    for _ in range(10 + runs):
        began = time.perf_counter()
        session.run(outputs, feed)
        seconds.append(time.perf_counter() - began)
    return seconds[10:]


def main():
    parser = argparse.ArgumentParser(prog="make.sh latency", description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="+", metavar="NETWORK.onnx")
    parser.add_argument("--avx2", action="store_true", help="as a processor without AVX-512")
    parser.add_argument("--size", type=int, default=256, help="side of the picture (default %(default)s)")
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    if a.avx2 and HIDDEN not in os.environ:
        sys.exit(without_avx512())
    print(f"{'milliseconds':24} {'least':>7} {'p50':>7} {'p95':>7}")
    for path in a.networks:
        ms = 1e3 * np.array(measure(path, a.size, a.runs, a.threads))
        print(f"{os.path.basename(path):24} {ms.min():7.2f} {np.median(ms):7.2f} {np.quantile(ms, 0.95):7.2f}", flush=True)


if __name__ == "__main__":
    main()
