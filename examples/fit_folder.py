"""Fit a folder of class folders and print the score with its interval.

python examples/fit_folder.py PHOTOS [section.key=value ...]
"""

import sys

import graft


def main(data: str, *sets: str) -> None:
    run = graft.fit(graft.Spec.make(data, sets=sets))
    name = run.scores["primary"]
    score = run.scores[run.scores["scored"]][name]
    low, high = score["interval"]
    print(f"{name} {score['value']:.3f} (95 % interval {low:.3f} to {high:.3f}) on {run.scores['scored_as']}")
    for what, value, reason, flag in run.decisions:
        print(f"  {what}: {value}, because {reason} ({flag} overrides it)")
    print(f"model: {run.model}\nreport: {run.report}")


if __name__ == "__main__":
    main(*sys.argv[1:])
