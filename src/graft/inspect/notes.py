"""What a reader, the check of files and the drawing of roles noticed, as findings."""

import os
from collections.abc import Iterator, Sequence

from ..core import Note
from .finding import Finding

# What systems and people leave beside images: nothing of it was ever meant as a sample.
_LITTER = (".ds_store", "thumbs.db", "desktop.ini", "__macosx", "@eadir", ".git", ".gitignore", ".gitkeep", ".gitattributes")
_TEXTS = (
    ".md",
    ".txt",
    ".rst",
    ".csv",
    ".tsv",
    ".json",
    ".jsonl",
    ".xml",
    ".yml",
    ".yaml",
    ".html",
    ".py",
    ".ipynb",
    ".zip",
    ".tar",
    ".gz",
)
_UNUSED = "Nothing in them is learnt or scored."

# Words of the note; kind, effect and repair of the finding.
_KNOWN = (
    ("hidden or system", "hidden", _UNUSED, "Take the dot from the name of those that should be used."),
    ("not images by their extension", "not_images", _UNUSED, "Convert those that are images to PNG or JPEG."),
    ("folders without images", "empty_folder", "Nothing, unless images were to be there.", "Fill the folder, or remove it."),
    ("held no images", "empty_folder", "A class that was meant is not learnt.", "Fill the folder, or remove it."),
    ("holds no images in class folders", "empty_folder", "The split is not used.", "Put class folders with images into it, or remove it."),
    ("already been read", "linked_twice", "Their images count once.", "Nothing, or remove the links."),
    ("device or pipe", "not_files", _UNUSED, "Remove them."),
    ("not valid UTF-8", "bad_names", _UNUSED, "Rename them."),
    ("texts outside any class folder", "stray_texts", _UNUSED, "Move each into the folder of its class."),
    ("outside any class folder", "stray_images", _UNUSED, "Move each into the folder of its class."),
    ("not texts by their extension", "not_texts", _UNUSED, "Save those that are texts as .txt, in UTF-8."),
    ("have no text", "empty_texts", "They are neither learnt nor scored.", "Fill them in, or remove their rows."),
    ("hold no text", "empty_texts", "They are neither learnt nor scored.", "Fill them in, or remove their rows."),
    ("with different labels", "two_labels", "What is learnt of one is wrong of the other.", "Keep one of the labels, or none of the rows."),
    ("do not follow", "broken_tags", "They were read as beginnings of names.", "Correct the tags on these lines."),
    ("Offsets of answers were mended", "offsets", "The answers were found by their texts.", "Correct answer_start in the file."),
    ("an answer is not in its context", "offsets", "These questions are not used.", "Correct the answers, or remove the questions."),
    ("cannot be scored", "unlabelled_split", "Another part of the rows is scored.", "Add the labels of this split."),
    ("Repeated rows", "repeated_rows", "Each counts once.", "Nothing, or remove the repetitions from the table."),
    ("Left out", "unreadable", "They are neither learnt nor scored.", "Replace or remove these files."),
    ("is read as the label", "label_column", "With another column the task would be another.", "Name the column: --set data.label=COLUMN."),
    ("never 1 in train", "label_column", "Nothing is learnt of these labels.", "Add samples that have them, or remove the columns."),
    ("was lowered", "folds", "Fewer folds learn from fewer rows each, so the score is a little low.", "Add samples of the smallest class."),
    ("Only one sample or group", "single_sample", "The score says nothing about it.", "Add a second sample or group, or remove it."),
)  # fmt: skip

_TOLD = (" has no images of ", "so scores may be optimistic", "the trace of a wrong encoding")
"""Notes of which `table` or `passages` tell more, from the data themselves."""


def findings(notes: Sequence[Note]) -> Iterator[Finding]:
    """A warning for each warning; a note for each list of files that were passed over, unless they are litter.
    Other remarks are no findings: they say what was decided, not what is wrong."""
    for note in notes:
        if any(words in note.text for words in _TOLD):
            continue
        files = note.files if note.level == "warning" else tuple(path for path in note.files if not _litter(path))
        if note.level != "warning" and not files:
            continue
        kind, effect, repair = next(
            (row[1:] for row in _KNOWN if row[0] in note.text),
            ("reader", "The data may not be what you meant.", "Mend what the sentence names."),
        )
        level = "warning" if note.level == "warning" else "note"
        examples = tuple({"files": [path]} for path in files[:12])
        yield Finding(kind, level, max(1, len(files)), note.text, effect, repair, files, examples)


def _litter(path: str) -> bool:
    name = os.path.basename(path).lower()
    return name in _LITTER or name.endswith(_TEXTS) or name in ("readme", "license", "licence", "makefile")
