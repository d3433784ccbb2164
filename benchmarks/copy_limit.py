"""How far the job of stage 1 is from copying its bytes: ``python -m benchmarks.copy_limit PROGRAMME``.

PROGRAMME is a folder that ``snakewebb simulate nircam_imaging --preset full`` made. The limit is the time in which this machine copies
as many bytes as the job must read (the raw file and the references of its chain) and write (its products), within
memory, with the threads of the job.
"""

import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from benchmarks.jobs import jobs_of, load_plan
from benchmarks.process import run

from snakewebb.io.references import located

MODE = "nircam_imaging"
THREADS = 2
REPEATS = 5


def copy_rate(threads, size=256_000_000):
    """Bytes copied per second, the best of some repeats; the pages exist already."""
    pairs = [(np.ones(size // threads, np.uint8), np.ones(size // threads, np.uint8)) for _ in range(threads)]
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(REPEATS):
            started = time.perf_counter()
            list(pool.map(lambda pair: np.copyto(*pair), pairs))
            best = max(best, size / (time.perf_counter() - started))
    return best


def main(programme):
    """Print bytes, copy rate, and the times of the job."""
    os.chdir(programme)
    plan = load_plan(MODE)
    root = next(iter(plan.exposures))
    (job,) = jobs_of(plan, "detector1", roots=[root])
    references = located(job["params"]["work"]["references"], job["params"]["circumstances"]["crds_path"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "job.json")
        path.write_text(json.dumps({**job, "threads": THREADS}))
        command = [sys.executable, Path(__file__).with_name("job.py"), path]
        run([*command, "1"], log=Path(folder, "log"))  # compiles, if need be
        whole = min(run([*command, "1"], log=Path(folder, "log")).wall_s for _ in range(3))
        lines = run([*command, str(REPEATS)], log=Path(folder, "log")).output.splitlines()
    inside = min(float(line.split()[1]) for line in lines[1:] if line.startswith("inside "))
    read = sum(Path(file).stat().st_size for file in [job["input"]["uncal"], *references.values()] if file)
    written = sum(Path(file).stat().st_size for file in job["output"].values())
    rate = copy_rate(THREADS)
    limit = (read + written) / rate
    print(f"read {read / 1e6:.0f} MB, write {written / 1e6:.0f} MB; {THREADS} threads copy {rate / 1e9:.1f} GB/s")
    print(f"limit {limit:.3f} s; inside {inside:.2f} s = {inside / limit:.0f} x; whole process {whole:.2f} s")


if __name__ == "__main__":
    main(sys.argv[1])
