"""Networks of GANs."""
