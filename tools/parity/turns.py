"""linectl's engine as a process, and others timed as it times itself."""

import subprocess
import time
from pathlib import Path


class Engine:
    """A process of linectl's engine; folder holds bank.f32 and picture.f32."""

    def __init__(self, program: Path, backbone: Path, folder: Path, dim: int, size: int, *more: str) -> None:
        self.process = subprocess.Popen(
            [program, "-backbone", backbone, "-bank", folder / "bank.f32", "-picture", folder / "picture.f32", "-dim", str(dim), "-size", str(size), *more],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip

    def __call__(self) -> tuple[float, float]:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        took, score = self.process.stdout.readline().split()
        return float(took), float(score)


def timed(run) -> "callable":  # noqa: ANN001
    def once() -> tuple[float, float]:
        begun = time.perf_counter()
        score = run()
        return 1000 * (time.perf_counter() - begun), float(score)

    return once
