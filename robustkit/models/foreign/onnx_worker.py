"""The process in which `onnx_apart` tries a graph. It is run as a script and needs onnxruntime and NumPy only.

usage: onnx_worker.py FILE SECONDS BYTES BATCH SIDE SIDE SIDE
"""

from __future__ import annotations

import sys

TYPES = {"tensor(double)": "float64", "tensor(float16)": "float16"}


def main(path: str, seconds: int, memory: int, *shape: int) -> None:
    """Runs the graph once on zeros, with so many seconds of a core and bytes of memory."""
    import resource

    for kind, most in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_DATA, memory), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(kind, (most, most))
    import numpy as np
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    settings.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"], enable_fallback=0)
    taken = session.get_inputs()[0]
    session.run(None, {taken.name: np.zeros(shape, TYPES.get(taken.type, "float32"))})


if __name__ == "__main__":
    try:
        main(sys.argv[1], *map(int, sys.argv[2:]))
    except Exception as error:  # the other side shows the last line
        sys.exit(f"{type(error).__name__}: {error}")
