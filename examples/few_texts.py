"""Eight labels a class: a head on frozen features against few_shot, where pairs of the texts teach the body first.

python examples/few_texts.py
"""

import csv
from pathlib import Path

import graft

# Eight rows of each class learn and two are scored; "split" says which.
MAIL = {
    "billing": ("I was charged twice", "The invoice is wrong", "Where is my refund?", "My card was declined", "Please cancel my plan",
                "The price went up", "I need a receipt", "A fee I do not know", "You took too much money", "Send me the bill again"),
    "trouble": ("The app will not start", "It crashes on my phone", "I cannot log in", "The screen stays black", "The page does not load",
                "Sound is missing", "The update failed", "It is stuck at 99 %", "Nothing happens when I click", "It freezes all the time"),
}  # fmt: skip


def main() -> None:
    table = Path("mail.csv")
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label", "split"])
        for label, texts in MAIL.items():
            rows.writerows((text, label, "test" if i >= 8 else "train") for i, text in enumerate(texts))

    for method in ("extract", "few_shot"):
        run = graft.fit(str(table), method=method, evidence="off")
        score = run.scores["test"]["accuracy"]
        low, high = score["interval"]
        print(f"{method}: {score['value']:.2f}, 95 % interval {low:.2f} to {high:.2f}: four rows tell you next to nothing")
        answer = graft.load(run.model).predict("I have paid for nothing")[0]
        print(f"  'I have paid for nothing' is {answer.label}, says {method}, with {answer.probability:.2f}")


if __name__ == "__main__":
    main()
