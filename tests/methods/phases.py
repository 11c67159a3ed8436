"""Collects a method's phases without running them."""

from graft import catalog


def collect(name, net, task, data, **values):
    generator = catalog.resolve("method", name)(net, task, data, catalog.options("method", name)(**values))
    found = [next(generator)]
    while True:
        try:
            found.append(generator.send(None))
        except StopIteration:
            return found
