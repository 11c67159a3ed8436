"""Few labelled texts with SetFit: contrastive learning on pairs, then logistic regression on the embeddings (Tunstall et al., 2022).

    python benchmarks/peers/setfit_text.py --train draw.csv --test test.csv --body FOLDER

Its defaults: batches of 16 pairs, one epoch, rate 2e-5 with a tenth of warm-up, cosine similarity loss, scikit-learn's logistic
regression. But for the pairs: 20 positive and 20 negative a text, as in the paper and its versions before 1.0; its default since
is every pair there is, which 128 texts a class make hours of on a CPU. --iterations 0 takes that default.
"""

import contextlib
import os
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"

import peer_text as peer
import setfit
import torch
from datasets import Dataset


def arguments():
    parser = peer.arguments(__doc__)
    parser.add_argument("--iterations", type=int, default=20, help="pairs of each kind a text; 0 for SetFit's default, all pairs")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--lr", type=float, default=2e-5)
    parser.add_argument("--batch", type=int, default=16)
    return parser.parse_args()


def main() -> None:
    args, parts = arguments(), peer.Parts()
    parts.end("start")
    train, test = peer.table(args.train), peer.table(args.test)
    labels = sorted({label for _, _, label in train})
    rows = Dataset.from_dict({"text": [text for _, text, _ in train], "label": [label for _, _, label in train]})
    model = setfit.SetFitModel.from_pretrained(str(args.body), labels=labels, local_files_only=True)
    parts.end("prepare")
    with tempfile.TemporaryDirectory() as out, contextlib.redirect_stdout(open(os.devnull, "w")):
        settings = setfit.TrainingArguments(
            out, batch_size=args.batch, num_epochs=args.epochs, num_iterations=args.iterations or None, body_learning_rate=args.lr,
            seed=args.seed, save_strategy="no", report_to="none", show_progress_bar=False,
        )  # fmt: skip
        trainer = setfit.Trainer(model, settings, train_dataset=rows)
        trainer.train()
        parts.end("train")
        found = model.predict([text for _, text, _ in test], show_progress_bar=False)
    right = {name: [int(str(one) == label)] for one, (name, _, label) in zip(found, test, strict=True)}
    parts.end("score")
    steps = trainer.st_trainer.state.global_step
    peer.finish(
        args, "classify", parts, right, steps=steps, epochs=args.epochs, lr=args.lr, batch=args.batch, iterations=args.iterations,
        samples_per_s=round(steps * 2 * args.batch / parts.seconds["train"], 2), threads=torch.get_num_threads(),
        body=Path(args.body).name, setfit=setfit.__version__, selected_on_scored=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
