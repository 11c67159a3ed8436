"""Fit a table of texts and labels, then ask the model about a new text. Without a table, a small one is made here.

python examples/texts_from_csv.py [reviews.csv]
"""

import csv
import itertools
import sys
from pathlib import Path

import graft

THINGS = ("film", "plot", "book", "song", "meal", "hotel", "game", "phone")
WORDS = {"good": ("I loved this {}.", "A wonderful {}, all of it."), "bad": ("I hated this {}.", "A dreadful {}, all of it.")}


def made(table: Path) -> Path:
    # A column called text and one called label are found by their names; --set data.text=NAME and data.label=NAME take others.
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        for thing, (label, forms) in itertools.product(THINGS, WORDS.items()):
            rows.writerows((form.format(thing), label) for form in forms)
    return table


def main(table: str = "") -> None:
    # evidence="off" leaves out the alternatives, which say whether transfer helped, to be quick.
    run = graft.fit(str(table or made(Path("made_reviews.csv"))), method="extract", evidence="off")
    name = run.scores["primary"]
    score = run.scores[run.scores["scored"]][name]
    print(f"{name} {score['value']:.3f} (95 % interval {score['interval'][0]:.3f} to {score['interval'][1]:.3f})")
    for answer in graft.load(run.model).predict(["A wonderful evening.", "  "]):
        print(f"{answer.path}: {answer.error or f'{answer.label} {answer.probability:.2f}'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
