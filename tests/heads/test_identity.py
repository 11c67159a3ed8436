"""The head that leaves features as they are, and its way through a saved model."""

import torch

from graft.heads import rebuild
from graft.heads.identity import Identity


def test_it_changes_nothing_and_has_nothing_to_learn():
    head, features = Identity(5), torch.randn(3, 5)
    assert torch.equal(head(features), features) and not list(head.parameters()) and not head.state_dict()


def test_it_is_rebuilt_from_its_config():
    again = rebuild(Identity(7).config)
    assert isinstance(again, Identity) and again.config == {"kind": "identity", "width": 7}
