"""Transfer learning as PyTorch's tutorial for computer vision does it, on torch, torchvision and timm alone.

    python benchmarks/peers/tutorial.py --data DATA --weights FILE --mode frozen --epochs 25

SGD at 0.001 with momentum 0.9, a tenth of it after every 7 epochs, batches of 4; every epoch is scored and the best
weights are kept, by the very rows that are scored. Two workers here, four there: more than this has cores only wait.
"""

import copy

import peer
import timm
import torch
from torch import nn
from torch.utils.data import DataLoader


def learn_epoch(model, loader, loss, optimizer, device, clock) -> bool:
    """One pass with learning; whether the step limit was reached."""
    model.train()
    clock.begin()
    over = False
    for images, labels in loader:
        optimizer.zero_grad()
        loss(model(images.to(device)), labels.to(device)).backward()
        optimizer.step()
        over = clock.step(len(labels))
        if over:
            break
    clock.end()
    return over


@torch.no_grad()
def score(model, loader, loss, device) -> list[int]:
    """1 where the label is found, in the order of the loader. The loss is computed too, as the tutorial does."""
    model.eval()
    found, total = [], 0.0
    for images, labels in loader:
        outputs = model(images.to(device))
        total += float(loss(outputs, labels.to(device))) * len(labels)
        found += (outputs.argmax(1).cpu() == labels).int().tolist()
    return found


def main() -> None:
    args = peer.arguments(__doc__, batch=4)
    torch.manual_seed(args.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sets = peer.folders(args.data)
    loaders = {
        name: DataLoader(data, args.batch, shuffle=name == "train", num_workers=args.workers, pin_memory=device.type == "cuda")
        for name, data in sets.items()
    }
    model = timm.create_model(args.body, pretrained=False)
    peer.fill(model, args.weights)
    model.reset_classifier(len(sets["train"].classes))
    learning = peer.freeze(model, args)
    model.to(device)
    loss, rate = nn.CrossEntropyLoss(), args.lr or 0.001
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=rate, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    clock, best, right = peer.Clock(args.steps), {}, []
    # A limit in steps may be beyond the epochs asked for; it then decides.
    for _ in range(args.steps or args.epochs):
        if learn_epoch(model, loaders["train"], loss, optimizer, device, clock):
            break
        schedule.step()
        if args.steps:
            continue
        found = score(model, loaders["val"], loss, device)
        if sum(found) > sum(right) or not right:
            best, right = copy.deepcopy(model.state_dict()), found
    if best:
        model.load_state_dict(best)
    paths = [peer.file(path) for path, _ in sets["val"].samples]
    peer.finish(args, clock, dict(zip(paths, right, strict=bool(right))), learning, lr=rate, selected_on_scored=True)


if __name__ == "__main__":
    main()
