"""Judges of what is decoded, and of likelihoods."""
