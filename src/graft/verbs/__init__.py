"""What can be asked besides a fit: check, advise, compare, tune, chain, distill, embed, adapt, demo."""
