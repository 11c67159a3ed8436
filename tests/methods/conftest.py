import pytest
from tests.methods import tasks


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A net that has learnt a first task, the rows it learnt, and scored ones."""
    return tasks.taught(tmp_path_factory.mktemp("taught"))
