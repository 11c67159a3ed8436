"""Predict with a saved model; images that cannot be read are named and do not stop the others.

python examples/predict.py RUN IMAGE [IMAGE ...]
"""

import sys

import graft


def main(run: str, *images: str) -> None:
    model = graft.load(run)
    print(f"classes: {', '.join(model.classes)}")
    for answer in model.predict(images, top=3):
        if answer.error:
            print(f"{answer.path}: {answer.error}")
        else:
            print(f"{answer.path}: {answer.label} " + ", ".join(f"{name} {p:.2f}" for name, p in answer.top))


if __name__ == "__main__":
    main(*sys.argv[1:])
