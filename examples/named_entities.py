"""Find names in sentences: learn tags of words from a CoNLL file, made here, then tag a new sentence.

python examples/named_entities.py
"""

import itertools
from pathlib import Path

import graft

PEOPLE = ("Ada Lovelace", "Alan Turing", "Grace Hopper", "Emmy Noether", "Kurt Weill", "Clara")
PLACES = ("Paris", "New York", "Lisbon", "Oslo")
FORMS = ("P lives in L .", "P went to L by train .", "In L , nobody knew P .")


def sentence(form: str, names: dict[str, str]) -> str:
    """A word and its tag a line: B-PER begins a name of a person, I-PER goes on with it, O is none."""
    lines = []
    for word in form.split():
        kind = {"P": "PER", "L": "LOC"}.get(word)
        parts = names[word].split() if kind else [word]
        lines += [f"{part} {'O' if not kind else f'I-{kind}' if i else f'B-{kind}'}" for i, part in enumerate(parts)]
    return "\n".join(lines)


def main() -> None:
    # An empty line parts sentences.
    told = [sentence(form, {"P": person, "L": place}) for form, person, place in itertools.product(FORMS, PEOPLE, PLACES)]
    Path("names.conll").write_text("\n\n".join(told) + "\n", encoding="utf-8")
    run = graft.fit("names.conll", folds=0, evidence="off", sets=["backbone.length=32"])
    f1 = run.scores["test"]["f1"]
    print(f"f1 {f1['value']:.3f} (95 % interval {f1['interval'][0]:.3f} to {f1['interval'][1]:.3f})")
    (answer,) = graft.load(run.model).predict(["Grace went to New York by ship ."])
    print(", ".join(f"{word} {tag}" for word, tag in answer.label))


if __name__ == "__main__":
    main()
