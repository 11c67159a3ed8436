"""Tiny tokenizers and nets for texts: words alone, pieces between [CLS] and [SEP], and bytes that end with <|endoftext|>."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn

from graft.core import Backbone, Net, Origin, TextPrepare
from graft.heads.pool import pooling

SAID = "the a cat dog sat on mat and ran to town in may where when who did what is . , ? berlin anna bob old big"
WORDS = SAID.split()


def pieces(length: int = 64) -> TextPrepare:
    """As BERT: [CLS] text [SEP] text [SEP], with an unknown word in letters."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(WORDS + letters), *(f"##{one}" for one in letters)]
    made = Tokenizer(models.WordPiece({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    made.pre_tokenizer, made.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    made.add_special_tokens(names[:5])
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)])
    return TextPrepare(made.to_str(), length, pad=0, mask=4)


def bytewise(length: int = 64) -> TextPrepare:
    """As GPT-2: no token around a text, spaces belong to the piece after them."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    texts = [" ".join(WORDS)] * 3
    made.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=330, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        ),
    )
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    return TextPrepare(made.to_str(), length, pad=0)


def size(prepare: TextPrepare) -> int:
    return Tokenizer.from_str(prepare.tokenizer).get_vocab_size()


class Embed(nn.Module):
    """Depth 0 to 1: what a token is and where it stands."""

    def __init__(self, prepare: TextPrepare, width: int):
        super().__init__()
        self.ids, self.places = nn.Embedding(size(prepare), width), nn.Embedding(prepare.length + 8, width)

    def forward(self, state):
        x = self.ids(state["ids"]) + self.places.weight[: state["ids"].shape[1]]
        return {"x": x, **{key: value for key, value in state.items() if key not in ("ids", "types")}}


class Look(nn.Module):
    """One layer of attention, so that tokens see each other; backwards alone where it is causal."""

    def __init__(self, width: int, causal: bool):
        super().__init__()
        self.layer, self.causal = nn.TransformerEncoderLayer(width, 2, 2 * width, 0.0, batch_first=True, norm_first=True), causal

    def forward(self, state):
        n = state["x"].shape[1]
        ahead = torch.ones(n, n, dtype=torch.bool).triu(1) if self.causal else None
        return {**state, "x": self.layer(state["x"], src_mask=ahead, src_key_padding_mask=~state["mask"])}


def net(prepare: TextPrepare, pool: str, head=None, causal: bool = False, width: int = 16, seed: int = 0) -> Net:
    """Two stages and a head: the one given, by its width, or one over the vocabulary."""
    torch.manual_seed(seed)
    stages = nn.ModuleList([Embed(prepare, width), Look(width, causal)])
    language = lambda: nn.Linear(width, size(prepare))  # noqa: E731
    body = Backbone(
        stages, ("embeddings", "layer1"), (width, width), (0, 0), ("text", "text"), prepare, Origin("toy", "tests:toy", "random"),
        language_head=language, causal=causal,
    )  # fmt: skip
    made = Net(body, pooling(pool, "cls", text=True), nn.Identity(), (1,))
    made.head = language() if head is None else head(width)
    return made


def learn(net: Net, loss, steps: int, lr: float = 0.01) -> None:
    """Minimise loss(step) over all weights."""
    optimizer = torch.optim.Adam(net.parameters(), lr)
    for step in range(steps):
        optimizer.zero_grad()
        loss(step).backward()
        optimizer.step()
