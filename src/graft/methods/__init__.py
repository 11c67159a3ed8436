"""Transfer methods: generators of phases. `phases(net, task, data, opts)` says who learns, at what rate, on what, for how long."""
