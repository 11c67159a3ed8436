"""Text that goes on, from a body that names the next token."""

from dataclasses import replace

import torch
from torch import Tensor

from ..core import Net, TextPrepare
from ..data.tokens import Tokenizer
from ..errors import OptionError
from .language import frame


@torch.inference_mode()
def continue_text(
    net: Net, prepare: TextPrepare, text: str, tokens: int = 40, temperature: float = 1.0, top_p: float = 1.0, seed: int = 0
) -> str:
    """What follows `text`, at most `tokens` tokens, up to the end of the text where the net says it is reached.

    temperature: logits are divided by it; 0 takes the likeliest token always. top_p in (0, 1]: only the likeliest tokens that
    together have this probability are drawn from (Holtzman et al., "The curious case of neural text degeneration", 2020). The
    same seed gives the same text. The body is run anew for each token, on the last prepare.length of them; its mode is kept.
    Raises OptionError for a body that is not causal and for values out of range.
    """
    _check(net, tokens, temperature, top_p)
    tokenizer, around = Tokenizer(prepare), frame(prepare)
    given = [*around.before, *around.inside(Tokenizer(replace(prepare, length=2**30)).texts([text])[0].ids).tolist()]
    ids = list(given or around.between)
    if not ids:
        raise OptionError("There is nothing to go on from; give the beginning of a text.")
    device = next(net.parameters()).device
    generator, modes = torch.Generator().manual_seed(seed), [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        for _ in range(tokens):
            logits = _next(net, torch.tensor([ids[-prepare.length :]], device=device))
            drawn = _draw(logits, temperature, top_p, generator)
            if drawn in around.ends:
                break
            ids.append(drawn)
    finally:
        for module, mode in modes:
            module.training = mode
    return tokenizer.text_of(ids).removeprefix(tokenizer.text_of(given))


def _next(net: Net, ids: Tensor) -> Tensor:
    """Logits float32 [vocabulary] of the token after these, [1, l]."""
    state = {"ids": ids, "mask": torch.ones_like(ids, dtype=torch.bool)}
    last = net.advance(state, 0, net.pooled)["x"][:, -1:]
    return net.head(last)[0, 0].float().cpu()


def _draw(logits: Tensor, temperature: float, top_p: float, generator: torch.Generator) -> int:
    if temperature == 0:
        return int(logits.argmax())
    shares, order = (logits / temperature).softmax(0).sort(descending=True, stable=True)
    # A token stays while those before it have less than top_p together, so the first always does.
    shares = shares.masked_fill(shares.cumsum(0) - shares >= top_p, 0.0)
    return int(order[torch.multinomial(shares, 1, generator=generator)])


def _check(net: Net, tokens: int, temperature: float, top_p: float) -> None:
    if not net.causal:
        raise OptionError("This body was not trained to go on from a text; use a causal one, for example one of GPT-2's kind.")
    if tokens < 1:
        raise OptionError(f"{tokens} tokens are no text; ask for at least 1.")
    if not 0 <= temperature < float("inf"):
        raise OptionError(f"A temperature is 0 or more, not {temperature:g}; 1 draws as the body was trained.")
    if not 0 < top_p <= 1:
        raise OptionError(f"top_p is a probability above 0, at most 1, not {top_p:g}; try 0.95.")
