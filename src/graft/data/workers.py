"""Threads that decode and augment, and that nobody has to wait for."""

import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future

import torch


class Workers:
    """`count` threads that run submitted functions in order, with torch on one core each.

    Not a ThreadPoolExecutor, because that one works off its whole queue before the interpreter may exit: after Ctrl-C,
    seconds of images that nobody will look at. These threads stop after the image they are at, when `close` is called, when
    the object is no longer used, or when the main thread ends.
    """

    def __init__(self, count: int):
        self._jobs: queue.SimpleQueue = queue.SimpleQueue()
        ready, own = threading.Semaphore(0), torch.get_num_threads()
        # The threads know the queue but not this object, so that it can be collected while they wait.
        self._threads = [threading.Thread(target=_work, args=(self._jobs, ready), name=f"graft-images-{i}") for i in range(count)]
        # It may be run by the garbage collector in the middle of anything, so it must not wait for a thread.
        self._end = weakref.finalize(self, _end, self._jobs, count)
        for thread in self._threads:
            thread.start()
        for _ in self._threads:
            ready.acquire()
        # torch's number of threads is kept per thread, but new threads take over what was set last, by whichever thread.
        torch.set_num_threads(own)

    def submit(self, function: Callable, *args: object) -> Future:
        """The function's result, or its exception, in time. Raises RuntimeError after `close`, when nobody would answer."""
        if not self._end.alive:
            raise RuntimeError("these workers are closed")
        future: Future = Future()
        self._jobs.put((future, function, args))
        return future

    def close(self) -> None:
        """Cancels what waits and ends the threads, after what each is doing."""
        self._end()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()


def _end(jobs: queue.SimpleQueue, threads: int) -> None:
    while True:
        try:
            job = jobs.get_nowait()
        except queue.Empty:
            break
        if job is not None:
            job[0].cancel()
    for _ in range(threads):
        jobs.put(None)


def _work(jobs: queue.SimpleQueue, ready: threading.Semaphore) -> None:
    torch.get_num_threads()  # A thread's first question takes over the common number, and would undo what is set before.
    torch.set_num_threads(1)
    ready.release()
    while threading.main_thread().is_alive():
        try:
            job = jobs.get(timeout=0.5)  # Looks up now and then, because nothing else wakes it when the main thread ends.
        except queue.Empty:
            continue
        if job is None:
            return
        future, function, args = job
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(function(*args))
            except BaseException as error:
                future.set_exception(error)
        del job, future, args  # Or an idle thread would keep the last image alive.
