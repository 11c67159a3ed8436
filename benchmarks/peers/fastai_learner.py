"""The same task with fastai: vision_learner on a timm network, its head, its augmentation, its one-cycle schedule.

    python benchmarks/peers/fastai_learner.py --data DATA --weights FILE --mode frozen --epochs 25

Its defaults but for batches of 32 (64 are its default) and two workers. Its head has a hidden layer of 512, and frozen
BatchNorm goes on learning: both are its defaults. "frozen" and "partial" are fit_one_cycle, "full" is fine_tune. Images
are resized to 256 by the loader, then augmented to 224. Its last epoch is scored.
"""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import fastai.vision.all as fv
import peer
import torch
from safetensors.torch import load_file


class Timed(fv.Callback):
    """Tells the clock, and keeps what the last scoring found."""

    order = 100

    def __init__(self, clock: peer.Clock):
        self.clock, self.right = clock, []

    def before_train(self):
        self.clock.begin()

    def before_validate(self):
        self.right = []

    def after_batch(self):
        if not self.training:
            self.right += (self.pred.argmax(1) == self.y).int().tolist()
        elif self.clock.step(len(self.y)):
            raise fv.CancelFitException

    def after_train(self):
        self.clock.end()


def check(body, weights: str) -> None:
    """Every tensor of the body is the file's; timm's own loading lets a missing classifier pass, and more with it."""
    wanted = load_file(weights)
    for name, value in body.state_dict().items():
        if not torch.equal(value.cpu(), wanted[name]):
            raise ValueError(f"{weights}: '{name}' was not loaded")


def load(args) -> tuple[fv.Learner, int]:
    """The learner, frozen as the mode says, and how many numbers of the body learn."""
    given, random = peer.prefixes(args), args.weights == "none"

    def split(model):
        learns = [p for name, p in model[0].model.named_parameters() if args.mode == "partial" and name.startswith(given)]
        chosen = {id(p) for p in learns}
        rest = [p for p in model[0].parameters() if id(p) not in chosen]
        return fv.L(rest, learns + list(model[1].parameters()))

    # fastai adds this itself for a pre-trained network; one with random weights is given it here.
    normal = [fv.Normalize.from_stats(peer.MEAN, peer.STD)] if random else []
    dls = fv.ImageDataLoaders.from_folder(
        args.data, train="train", valid="val", bs=args.batch, num_workers=args.workers, seed=args.seed,
        item_tfms=fv.Resize(256), batch_tfms=[*fv.aug_transforms(size=peer.SIZE), *normal],
    )  # fmt: skip
    # The file stands in for the download that pretrained=True would begin.
    source = {} if random else {"pretrained_cfg_overlay": {"file": args.weights}}
    learn = fv.vision_learner(
        dls, args.body, pretrained=not random, metrics=fv.accuracy, **source, **({"splitter": split} if args.mode == "partial" else {})
    )
    body = learn.model[0].model
    if not random:
        check(body, args.weights)
    learn.unfreeze() if args.mode == "full" else learn.freeze()
    counted = {"full": ("",), "partial": given, "frozen": ()}[args.mode]
    return learn, sum(p.numel() for name, p in body.named_parameters() if name.startswith(counted))


def main() -> None:
    args = peer.arguments(__doc__, batch=32)
    fv.set_seed(args.seed)
    learn, learning = load(args)
    clock = peer.Clock(args.steps)
    timed, rate = Timed(clock), {"lr_max": args.lr} if args.lr else {}
    with learn.no_bar(), learn.no_logging():
        if args.mode == "full" and not args.steps:
            learn.fine_tune(args.epochs, **({"base_lr": args.lr} if args.lr else {}), cbs=timed)
        else:
            # A limit in steps may be beyond the epochs asked for; it then decides.
            learn.fit_one_cycle(args.steps or args.epochs, cbs=timed, **rate)
    clock.end()
    scored = [] if args.steps else timed.right
    right = dict(zip([peer.file(path) for path in learn.dls.valid.items], scored, strict=bool(scored)))
    peer.finish(args, clock, right, learning, lr=args.lr or learn.lr, selected_on_scored=False)


if __name__ == "__main__":
    main()
