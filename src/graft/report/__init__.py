"""A run folder as one page. Reads files only; never imports torch."""
