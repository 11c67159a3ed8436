"""Which layer's features suit the data? The same frozen body and head, with features from an early and from the last stage.

python examples/compare_layers.py PHOTOS
"""

import sys

import graft


def main(data: str) -> None:
    # A layer is a stage's name or its number: 1 is the first, -1 the last. Several are concatenated.
    for layers in ((2,), (-1,), (2, -1)):
        run = graft.fit(graft.Spec.make(data, backbone="graft-mini", method="extract", layers=layers))
        score = run.scores[run.scores["scored"]][run.scores["primary"]]
        print(f"stages {layers}: {score['value']:.3f}, 95 % interval {score['interval'][0]:.3f} to {score['interval'][1]:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
