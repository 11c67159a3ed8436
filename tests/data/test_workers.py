import gc
import threading
import time
from concurrent.futures import CancelledError

import pytest
import torch

from graft.data.workers import Workers


def running() -> int:
    return sum(thread.name.startswith("graft-images") for thread in threading.enumerate())


def test_results_and_exceptions():
    workers = Workers(2)
    futures = [workers.submit(pow, number, 2) for number in range(20)]
    assert [future.result() for future in futures] == [number**2 for number in range(20)]
    with pytest.raises(ZeroDivisionError):
        workers.submit(divmod, 1, 0).result()
    assert workers.submit(pow, 2, 3).result() == 8
    workers.close()


def test_torch_on_one_core_and_only_there():
    torch.set_num_threads(2)
    try:
        workers = Workers(3)
        futures = [workers.submit(lambda: (time.sleep(0.01), torch.get_num_threads())[1]) for _ in range(12)]
        assert {future.result() for future in futures} == {1}
        assert torch.get_num_threads() == 2
        later = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert later == [2]
        workers.close()
    finally:
        torch.set_num_threads(1)


def test_close_cancels_what_waits_and_ends_the_threads():
    before = running()
    workers = Workers(2)
    futures = [workers.submit(time.sleep, 0.1) for _ in range(50)]
    time.sleep(0.05)
    workers.close()
    assert running() == before
    assert sum(future.cancelled() for future in futures) >= 40
    with pytest.raises(CancelledError):
        futures[-1].result()
    with pytest.raises(RuntimeError, match="closed"):
        workers.submit(pow, 2, 2)
    workers.close()


def test_unused_workers_end():
    before = running()
    workers = Workers(2)
    workers.submit(pow, 2, 2).result()
    del workers
    gc.collect()
    # Nobody waits for them, so they may take a moment.
    deadline = time.monotonic() + 30
    while running() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert running() == before


def test_being_collected_waits_for_nobody():
    """The collector may run inside a lock that a join would need: then nothing would ever go on."""
    hold, begun = threading.Event(), threading.Event()
    workers = Workers(1)
    workers.submit(lambda: (begun.set(), hold.wait(30)))
    begun.wait(30)
    box = [workers]
    del workers
    thread = threading.Thread(target=lambda: (box.clear(), gc.collect()))
    thread.start()
    thread.join(10)
    waited = thread.is_alive()
    hold.set()
    thread.join()
    assert not waited
