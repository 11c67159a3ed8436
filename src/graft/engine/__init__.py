"""Runs phases. Knows no method, task or body by name."""
