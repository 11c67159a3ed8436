"""The same task with transformers: its Trainer, and its own wrapper around a timm network.

    python benchmarks/peers/hf_trainer.py --data DATA --weights FILE --mode frozen --epochs 25 --lr 1e-3

Its defaults but for: batches of 32 (8 are its default), two workers, every epoch scored, nothing saved. The peak rate is
its 5e-5 unless --lr says otherwise; a new head alone hardly moves at that rate in a few hundred steps.
"""

import os
import tempfile

os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"

import peer
import torch
from torch.utils.data import Dataset
from transformers import TimmWrapperConfig, TimmWrapperForImageClassification, Trainer, TrainerCallback, TrainingArguments, set_seed


class Named(Dataset):
    """A torchvision data set with the names that the model's forward takes."""

    def __init__(self, images):
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> dict:
        image, label = self.images[i]
        return {"pixel_values": image, "labels": label}


class Timed(TrainerCallback):
    """Tells the clock; the size of a batch is what the model was last given."""

    def __init__(self, clock: peer.Clock, model):
        self.clock, self.size = clock, 0
        model.register_forward_pre_hook(self._given, with_kwargs=True)

    def _given(self, model, inputs, named) -> None:
        self.size = len(named["pixel_values"])

    def on_epoch_begin(self, *_, **__):
        self.clock.begin()

    def on_step_end(self, *_, **__):
        self.clock.step(self.size)

    def on_epoch_end(self, *_, **__):
        self.clock.end()


def make(args, classes: int) -> tuple[TimmWrapperForImageClassification, int]:
    """The model with the file's weights and a new classifier, and how many numbers of the body learn."""
    config = TimmWrapperConfig(architecture=args.body, num_labels=1000)
    model = TimmWrapperForImageClassification(config)
    peer.fill(model.timm_model, args.weights)
    model.timm_model.reset_classifier(classes)
    model.config.num_labels = model.num_labels = classes
    return model, peer.freeze(model.timm_model, args)


def main() -> None:
    args = peer.arguments(__doc__, batch=32)
    set_seed(args.seed)
    sets = peer.folders(args.data)
    model, learning = make(args, len(sets["train"].classes))
    clock, scored = peer.Clock(args.steps), []

    def judge(found) -> dict:
        scored[:] = [int(row.argmax() == label) for row, label in zip(found.predictions, found.label_ids, strict=True)]
        return {"accuracy": sum(scored) / len(scored)}

    with tempfile.TemporaryDirectory() as out:
        settings = TrainingArguments(
            out, num_train_epochs=args.epochs, max_steps=args.steps or -1, per_device_train_batch_size=args.batch,
            per_device_eval_batch_size=args.batch, dataloader_num_workers=args.workers, learning_rate=args.lr or 5e-5,
            eval_strategy="no" if args.steps else "epoch", save_strategy="no", report_to="none", remove_unused_columns=False,
            disable_tqdm=True, seed=args.seed,
        )  # fmt: skip
        trainer = Trainer(
            model, settings, train_dataset=Named(sets["train"]), eval_dataset=Named(sets["val"]), compute_metrics=judge,
            callbacks=[Timed(clock, model)],
        )  # fmt: skip
        trainer.train()
    clock.end()
    paths = [peer.file(path) for path, _ in sets["val"].samples]
    right = dict(zip(paths, scored, strict=bool(scored)))
    peer.finish(args, clock, right, learning, lr=settings.learning_rate, selected_on_scored=False, torch=torch.__version__)


if __name__ == "__main__":
    main()
