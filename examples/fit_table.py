"""Learn numbers from a table: how bright is an image? The table is made here; any CSV with a path and a label column will do.

python examples/fit_table.py FOLDER_OF_IMAGES
"""

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import graft


def main(folder: str) -> None:
    table = Path("brightness.csv")
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label"])
        for path in sorted(Path(folder).rglob("*.png")):
            rows.writerow([path.resolve(), float(np.asarray(Image.open(path).convert("L")).mean())])

    # A label that is a number makes the task a regression; scores are then errors in the label's own unit.
    run = graft.fit(graft.Spec.make(str(table), method="extract"))
    scores = run.scores[run.scores["scored"]]
    print(", ".join(f"{name} {score['value']:.3g}" for name, score in scores.items()))
    answer = graft.load(run.model).predict([path := next(Path(folder).rglob("*.png"))])[0]
    print(f"{path.name}: {answer.label:.1f} of 255")


if __name__ == "__main__":
    main(*sys.argv[1:])
