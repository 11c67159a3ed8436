"""What the peers' scripts share: arguments, weights, who learns, the clock and the JSON line. Knows nothing of graft."""

import argparse
import json
import os
import resource
import time
from pathlib import Path

BEGAN = time.monotonic()
os.environ["HF_HUB_OFFLINE"] = "1"  # before any import that may ask the hub

MEAN, STD, SIZE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 224
WARM = 2  # steps before images are counted


def arguments(description: str, batch: int) -> argparse.Namespace:
    """batch: the script's own default."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with train/ and val/, each of class folders")
    parser.add_argument("--weights", default="none", help='a safetensors file in timm\'s naming, or "none" for random weights')
    parser.add_argument("--body", default="mobilenetv2_100", help="a timm name")
    parser.add_argument("--mode", choices=("frozen", "partial", "full"), default="frozen")
    parser.add_argument("--learn", default="", help="partial: prefixes of the parameters that learn besides the classifier, by comma")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--steps", type=int, default=0, help="stop after so many steps, and score nothing; 0: train to the end")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--lr", type=float, help="peak rate; the tool's own by default")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def fill(model, weights: str) -> None:
    """Load the file into the whole network, classifier and all; raises where a name or a shape differs."""
    from safetensors.torch import load_file

    if weights != "none":
        model.load_state_dict(load_file(weights), strict=True)


def prefixes(args: argparse.Namespace) -> tuple[str, ...]:
    return tuple(filter(None, args.learn.split(",")))


def freeze(model, args: argparse.Namespace) -> int:
    """Mark who learns in a timm network with its new classifier; how many numbers of the body do."""
    head, count = {id(p) for p in model.get_classifier().parameters()}, 0
    for name, parameter in model.named_parameters():
        learns = args.mode == "full" or (args.mode == "partial" and name.startswith(prefixes(args)))
        parameter.requires_grad_(learns or id(parameter) in head)
        count += parameter.numel() * (learns and id(parameter) not in head)
    return count


def folders(data: Path) -> dict:
    """train and val as image folders with the usual crops: a random one with a flip to learn, the centre of 256 to score."""
    from torchvision import datasets, transforms

    end = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    learn = [transforms.RandomResizedCrop(SIZE), transforms.RandomHorizontalFlip(), *end]
    score = [transforms.Resize(256), transforms.CenterCrop(SIZE), *end]
    return {name: datasets.ImageFolder(str(data / name), transforms.Compose(steps)) for name, steps in (("train", learn), ("val", score))}


def file(path: str | Path) -> str:
    """ "class/name", which is the same for every tool."""
    return "/".join(Path(path).parts[-2:])


class Clock:
    """Seconds inside training epochs, and images a second in them from the end of the second step of the run on.

    So workers that start anew each epoch count, from the second epoch on, and scoring does not.
    """

    def __init__(self, limit: int = 0):
        self.limit, self.steps, self.images, self.seconds, self._counted = limit, 0, 0, 0.0, 0.0
        self._began = self._warm = None

    def begin(self) -> None:
        self._began = time.monotonic()

    def step(self, images: int) -> bool:
        """After each step. Whether the limit is reached."""
        self.steps += 1
        if self.steps == WARM:
            _settle()
            self._warm = time.monotonic()
        self.images += images if self.steps > WARM else 0
        return bool(self.limit) and self.steps >= self.limit

    def end(self) -> None:
        """After the last step of an epoch; a second call does nothing."""
        if self._began is None:
            return
        _settle()
        now = time.monotonic()
        self.seconds += now - self._began
        if self._warm is not None:
            self._counted += now - max(self._began, self._warm)
        self._began = None

    @property
    def rate(self) -> float | None:
        return self.images / self._counted if self._counted and self.images else None


def _settle() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_memory_mb() -> float:
    """As graft counts it: the largest resident size of this process (workers apart), or allocation on the GPU if that is larger."""
    import torch

    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return max(resident, torch.cuda.max_memory_allocated() / 2**20) if torch.cuda.is_available() else resident


def finish(args: argparse.Namespace, clock: Clock, right: dict[str, int], learning: int, **more: object) -> None:
    """Print the JSON line. right: file -> 0 or 1, of the scored images; learning: numbers of the body that learn.

    Ends with a word where no step was taken, which would be a fast way to learn nothing.
    """
    if not clock.steps:
        raise SystemExit(f"no step was taken: a batch of {args.batch} is more than there is to learn from; give a smaller --batch")
    files = sorted(right)
    line = {
        "accuracy": sum(right.values()) / len(right) if right else None, "n": len(right),
        "seconds_total": round(time.monotonic() - BEGAN, 2), "seconds_train": round(clock.seconds, 2), "steps": clock.steps,
        "images_per_s": clock.rate and round(clock.rate, 2), "peak_memory_mb": round(peak_memory_mb(), 1),
        "batch": args.batch, "learning": learning, "predictions": [right[name] for name in files], "files": files, **more,
    }  # fmt: skip
    print(json.dumps(line), flush=True)
