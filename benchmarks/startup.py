"""How long `graft --help` takes, beside a Python that does nothing: medians of several runs, and their ratio.

python benchmarks/startup.py
"""

import statistics
import subprocess
import sys
import time

COMMANDS = {"python -c pass": ["-c", "pass"], "graft --help": ["-c", "from graft.cli import main; main()", "--help"]}


def main(runs: int = 15) -> None:
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs + 1):
        for name, arguments in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
            times[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(found[1:]) for name, found in times.items()}
    for name, median in medians.items():
        print(f"{name}: median {median * 1000:.0f} ms of {runs} runs")
    print(f"ratio: {medians['graft --help'] / medians['python -c pass']:.1f}")


if __name__ == "__main__":
    main()
