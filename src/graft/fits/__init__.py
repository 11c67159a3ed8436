"""One fit and its honest alternatives, from assembled parts to everything in the run's folder."""
