"""Make graft-mini: a small body distilled from an ImageNet MobileNetV2 on 48,000 natural images of 64 pixels.

    python recipes/graft_mini.py --images DIR_OF_PARQUET --teacher mobilenet_v2.safetensors --work build/mini --out OUT_DIR

Method: the patient, consistent teacher (Beyer et al., "Knowledge distillation: a good teacher is patient and
consistent", CVPR 2022). Teacher and student see the same crop; the teacher's answers for VIEWS fixed crops of every
image are computed once and kept, so that an epoch costs only the student. Three losses: the teacher's standardised
pooled features (squared error through a linear projection), its softened 1000-class probabilities (KL, Hinton et al.
2015), and the 200 labels. Photometric changes are the student's alone. What is kept is the EMA of the body, in fp16.

The run can be killed and started again: it goes on from the last finished epoch.
"""

import argparse
import hashlib
import io
import json
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

ARCHITECTURE = "mobilenetv4_conv_small_050"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
VIEWS, TEACHER_PIXELS = 4, 144
STUDENT_PIXELS = (64, 96, 96, 128)  # drawn anew every step: users' images are sharper than the 64-pixel originals
HELD_OUT = 1000
TEMPERATURE = 2.0


def decode(folder: Path, work: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """All images as uint8 [n, 64, 64, 3], their class numbers [n] and the class names; kept in the work folder."""
    kept = work / "images.npz"
    if not kept.exists():
        pixels, names = [], []
        for file in sorted(folder.glob("tiny_imagenet-*.parquet")):
            table = pq.read_table(file, columns=["image", "wnid"])
            names += table["wnid"].to_pylist()
            for cell in table["image"].to_pylist():
                raw = cell["bytes"] if isinstance(cell, dict) else cell
                pixels.append(np.asarray(Image.open(io.BytesIO(raw)).convert("RGB")))
        classes = sorted(set(names))
        labels = np.array([classes.index(n) for n in names])
        order = np.random.default_rng(0).permutation(len(labels))
        np.savez(kept, pixels=np.stack(pixels)[order], labels=labels[order], classes=np.array(classes))
    held = np.load(kept, allow_pickle=False)
    return held["pixels"], held["labels"], held["classes"].tolist()


def draw_crops(count: int, seed: int) -> torch.Tensor:
    """[count, 2, 3] affine maps of random resized crops (area 0.3..1, aspect 3/4..4/3); view 0 is the whole image."""
    rng = np.random.default_rng(seed)
    maps = np.zeros((count, 2, 3), np.float32)
    if seed == 0:
        maps[:, 0, 0] = maps[:, 1, 1] = 1
        return torch.from_numpy(maps)
    area, aspect = rng.uniform(0.3, 1, count), np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3), count))
    width, height = np.minimum(np.sqrt(area * aspect), 1), np.minimum(np.sqrt(area / aspect), 1)
    maps[:, 0, 0], maps[:, 1, 1] = width, height
    maps[:, 0, 2] = rng.uniform(-1, 1, count) * (1 - width)
    maps[:, 1, 2] = rng.uniform(-1, 1, count) * (1 - height)
    return torch.from_numpy(maps)


def cut(pixels: torch.Tensor, maps: torch.Tensor, size: int) -> torch.Tensor:
    """Crop uint8 [b, 64, 64, 3] by `maps` to float [b, 3, size, size] in 0..1."""
    images = pixels.permute(0, 3, 1, 2).float().div_(255)
    grid = F.affine_grid(maps, [len(maps), 3, size, size], align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def normalise(images: torch.Tensor) -> torch.Tensor:
    return (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def ask_teacher(weights: Path, pixels: np.ndarray, work: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pooled features [VIEWS, n, 1280] and logits [VIEWS, n, 1000] of the teacher, fp16, kept in the work folder."""
    import openvino as ov

    paths = work / "features.npy", work / "logits.npy"
    done = work / "teacher.json"
    if not done.exists():
        teacher = timm.create_model("mobilenetv2_100", num_classes=1000)
        teacher.load_state_dict(load_file(weights), strict=True)
        teacher.eval()

        class Both(nn.Module):
            def __init__(self):
                super().__init__()
                self.teacher = teacher.requires_grad_(False)

            def forward(self, x):
                pooled = self.teacher.forward_head(self.teacher.forward_features(x), pre_logits=True)
                return pooled, self.teacher.get_classifier()(pooled)

        example = torch.zeros(64, 3, TEACHER_PIXELS, TEACHER_PIXELS)
        model = ov.convert_model(Both().eval(), example_input=example, input=[-1, 3, TEACHER_PIXELS, TEACHER_PIXELS])
        run = ov.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        n = len(pixels)
        features = np.lib.format.open_memmap(paths[0], "w+", np.float16, (VIEWS, n, 1280))
        logits = np.lib.format.open_memmap(paths[1], "w+", np.float16, (VIEWS, n, 1000))
        for view in range(VIEWS):
            maps, start = draw_crops(n, view), time.time()
            for i in range(0, n, 64):
                batch = normalise(cut(torch.from_numpy(pixels[i : i + 64]), maps[i : i + 64], TEACHER_PIXELS))
                answer = run(batch.numpy())
                features[view, i : i + 64], logits[view, i : i + 64] = answer[0], answer[1]
            print(f"teacher, view {view}: {n / (time.time() - start):.0f} images/s", flush=True)
        features.flush(), logits.flush()
        done.write_text(json.dumps({"views": VIEWS, "pixels": TEACHER_PIXELS}))
    return np.load(paths[0], mmap_mode="r"), np.load(paths[1], mmap_mode="r")


def photometric(images: torch.Tensor) -> torch.Tensor:
    """Per image: brightness and contrast 0.6..1.4, saturation 0..1.6 (grey one time in five), negative one in twenty."""
    b = len(images)
    draw = lambda low, high: torch.empty(b, 1, 1, 1).uniform_(low, high)  # noqa: E731
    images = images * draw(0.6, 1.4)
    average = images.mean((1, 2, 3), keepdim=True)
    images = (images - average) * draw(0.6, 1.4) + average
    grey = images.mean(1, keepdim=True)
    saturation = draw(0.4, 1.6) * (torch.rand(b, 1, 1, 1) > 0.2)
    images = (grey + (images - grey) * saturation).clamp_(0, 1)
    return torch.where(torch.rand(b, 1, 1, 1) < 0.05, 1 - images, images)


class Student(nn.Module):
    def __init__(self, classes: int):
        super().__init__()
        self.body = timm.create_model(ARCHITECTURE, num_classes=0)
        width = self.body.head_hidden_size
        self.imitate, self.soft, self.hard = nn.Linear(width, 1280), nn.Linear(width, 1000), nn.Linear(width, classes)

    def forward(self, x):
        pooled = self.body(x)
        return self.imitate(pooled), self.soft(pooled), self.hard(pooled)


def rate(step: int, steps: int, warm: int, peak: float) -> float:
    return peak * min(step / warm, 0.5 * (1 + np.cos(np.pi * min(step / steps, 1))) + 1e-3)


def start(args, classes: list[str]) -> tuple[Student, Student, torch.optim.Optimizer, list[dict]]:
    """The student, its running mean, the optimizer and the log of the epochs behind: fresh, or as the last one left them."""
    torch.manual_seed(0)
    student, ema = Student(len(classes)), Student(len(classes))
    student.to(memory_format=torch.channels_last)
    ema.load_state_dict(student.state_dict())
    decayed = [p for p in student.parameters() if p.ndim > 1]
    plain = [p for p in student.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.03}, {"params": plain, "weight_decay": 0}])
    if not (args.work / "state.pt").exists():
        return student, ema, optimizer, []
    kept = torch.load(args.work / "state.pt", weights_only=True)
    student.load_state_dict(kept["student"]), ema.load_state_dict(kept["ema"])
    optimizer.load_state_dict(kept["optimizer"])
    return student, ema, optimizer, json.loads(kept["log"])


def distil(student: Student, images: torch.Tensor, goal: torch.Tensor, answer: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """goal: standardised features [b, 1280] and answer: logits [b, 1000] of the teacher on the same crops."""
    imitation, soft, hard = student(images)
    told, said = F.softmax(answer / TEMPERATURE, 1), F.log_softmax(soft / TEMPERATURE, 1)
    return (
        F.smooth_l1_loss(imitation, goal)
        + 0.5 * TEMPERATURE**2 * F.kl_div(said, told, reduction="batchmean")
        + 0.3 * F.cross_entropy(hard, labels, label_smoothing=0.1)
    )


def train(args, pixels, labels, features, logits, classes) -> None:
    student, ema, optimizer, log = start(args, classes)
    sample = np.asarray(features[0, :4000], np.float32)
    centre, spread = torch.from_numpy(sample.mean(0)), torch.from_numpy(sample.std(0) + 1e-3)
    n, batch = len(labels) - HELD_OUT, 192
    per_epoch, state = n // batch, args.work / "state.pt"
    for epoch in range(len(log), args.epochs):
        torch.manual_seed(1000 + epoch)
        maps, view, began, seen = draw_crops(len(labels), epoch % VIEWS), epoch % VIEWS, time.time(), 0.0
        order = torch.randperm(n).numpy() + HELD_OUT
        student.train()
        for i in range(per_epoch):
            step = epoch * per_epoch + i
            for group in optimizer.param_groups:
                group["lr"] = rate(step, args.epochs * per_epoch, 500, 3e-3)
            index = np.sort(order[i * batch : (i + 1) * batch])
            size = STUDENT_PIXELS[int(torch.randint(len(STUDENT_PIXELS), ()))]
            images = cut(torch.from_numpy(pixels[index]), maps[index], size)
            if torch.rand(()) < 0.5:
                images = images.flip(3)
            images = normalise(photometric(images)).contiguous(memory_format=torch.channels_last)
            goal = (torch.from_numpy(features[view, index].astype(np.float32)) - centre) / spread
            answer = torch.from_numpy(logits[view, index].astype(np.float32))
            loss = distil(student, images, goal, answer, torch.from_numpy(labels[index]))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(student.parameters(), 5.0)
            optimizer.step()
            follow(ema, student, min(0.999, (1 + step) / (10 + step)))
            seen += loss.item()
            if i % 50 == 0:
                pace = (i + 1) * batch / (time.time() - began)
                print(f"epoch {epoch} step {i}/{per_epoch} loss {loss.item():.3f} {pace:.0f}/s", flush=True)
        log.append({"epoch": epoch, "loss": seen / per_epoch, "seconds": time.time() - began, **score(ema, pixels, labels)})
        print(json.dumps(log[-1]), flush=True)
        whole = {"student": student.state_dict(), "ema": ema.state_dict(), "optimizer": optimizer.state_dict(), "log": json.dumps(log)}
        torch.save(whole, state.with_suffix(".new"))
        state.with_suffix(".new").replace(state)
        save(args, ema, log)


@torch.no_grad()
def follow(ema: Student, student: Student, memory: float) -> None:
    for old, new in zip(ema.state_dict().values(), student.state_dict().values(), strict=True):
        old.lerp_(new, 1 - memory) if old.is_floating_point() else old.copy_(new)


@torch.inference_mode()
def score(student: Student, pixels: np.ndarray, labels: np.ndarray) -> dict:
    """Top-1 of the 200-class head on the held-out images, whole image at 96 pixels."""
    student.eval()
    right = 0
    for i in range(0, HELD_OUT, 200):
        images = cut(torch.from_numpy(pixels[i : i + 200]), draw_crops(200, 0), 96)
        right += int((student(normalise(images))[2].argmax(1).numpy() == labels[i : i + 200]).sum())
    student.train()
    return {"held_out_top1": right / HELD_OUT}


def save(args, ema: Student, log: list[dict]) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    tensors = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in ema.body.state_dict().items()}
    path = args.out / "graft_mini.safetensors"
    save_file(tensors, path)
    card = {
        "name": "graft-mini", "architecture": ARCHITECTURE, "parameters": sum(p.numel() for p in ema.body.parameters()),
        "image_size": 96, "mean": MEAN, "std": STD, "dtype": "float16",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "licence": "Apache-2.0",
        "trained_on": f"{len(ema.hard.bias)} ImageNet classes at 64 pixels (48,000 images), "
        "labels and the answers of a MobileNetV2 trained on ImageNet-1k",
        "teacher": hashlib.sha256(Path(args.teacher).read_bytes()).hexdigest(),
        "epochs": len(log), "seconds": round(sum(row["seconds"] for row in log)), "held_out_top1": log[-1]["held_out_top1"],
    }  # fmt: skip
    (args.out / "graft_mini.json").write_text(json.dumps(card, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of tiny_imagenet-*.parquet")
    parser.add_argument("--teacher", type=Path, required=True, help="timm mobilenetv2_100 safetensors, ImageNet-1k")
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    parser.add_argument("--out", type=Path, default=Path("src/graft/backbones/embedded"))
    parser.add_argument("--epochs", type=int, default=32)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    pixels, labels, classes = decode(args.images, args.work)
    features, logits = ask_teacher(args.teacher, pixels, args.work)
    train(args, pixels, labels, features, logits, classes)


if __name__ == "__main__":
    main()
