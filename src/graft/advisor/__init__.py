"""Which body, which layer and which strategy suit the data: measured on features, never on models."""
