import pytest

from graft.engine.store import Store

HELD = [
    {"kind": "activations", "key": "a" * 16, "about": {"body": "resnet50", "depth": 9, "size": 224}, "bytes": 1_200_000_000, "rows": 12_345,
     "used": 1.6e9},
    {"kind": "compiled", "key": "b" * 16, "about": {}, "bytes": 40_000_000, "rows": None, "used": 1.5e9},
]  # fmt: skip
FOUND = {"folder": "there", "why": "", "limit": 20 * 10**9, "bytes": 1_240_000_000, "freed": 0, "held": HELD}


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "kept"))
    store = Store(tmp_path / "kept")
    store.put("a" * 16, b"0" * 4000, {"body": "resnet50"})
    store.put("b" * 16, b"0" * 2000, {"body": "gabor"})
    return store


def test_what_is_held_is_a_table(api, invoke):
    api.cache = lambda limit, clear: FOUND
    lines = invoke("cache").stdout.splitlines()
    assert lines[0].split() == ["kind", "backbone", "what", "rows", "size", "last", "used"]
    assert all(word in lines[1] for word in ("activations", "resnet50", "depth 9, size 224", "12,345", "1.2 GB", "2020-09-1"))
    assert lines[2].split()[:6] == ["compiled", "-", "-", "-", "40", "MB"]
    assert lines[-1] == "1.24 GB of at most 20 GB in there"
    assert invoke("cache", "--json").json() == FOUND


def test_an_empty_store_and_none_at_all(invoke, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "kept"))
    assert invoke("cache").stdout.startswith("0 kB of at most ")
    monkeypatch.setenv("GRAFT_CACHE", "off")
    result = invoke("cache")
    assert result.exit_code == 0 and "GRAFT_CACHE is off" in result.stdout
    assert invoke("cache", "--json").json() | {"why": ""} == {"folder": None, "why": "", "limit": 0, "bytes": 0, "freed": 0, "held": []}
    assert invoke("cache", "--limit", "1GB").exit_code == 2 and invoke("cache", "--clear", "all").exit_code == 2


def test_a_limit_is_set_and_holds_at_once(invoke, store, monkeypatch):
    monkeypatch.setattr("graft.engine.store._USED", set())
    result = invoke("cache", "--limit", "5kB")
    assert result.exit_code == 0 and "Freed 4 kB." in result.stdout and "of at most 5 kB" in result.stdout and store.limit == 5000
    assert [one["about"]["body"] for one in store.held()] == ["gabor"]


def test_a_limit_that_is_no_size_changes_nothing(invoke, store):
    before = store.limit
    result = invoke("cache", "--limit", "much", "--clear", "all")
    assert result.exit_code == 2 and "'much' is not a size" in result.stderr and len(store.held()) == 2
    assert abs(store.limit - before) < 10**9


def test_clear_takes_a_name_and_refuses_one_it_does_not_know(invoke, store):
    result = invoke("cache", "--clear", "resnet5")
    assert result.exit_code == 2 and "Did you mean 'resnet50'?" in result.stderr and len(store.held()) == 2
    assert invoke("cache", "--clear", "resnet50", "--json").json()["freed"] == 4000
    assert "Freed 2 kB." in invoke("cache", "--clear", "all").stdout and store.held() == []
