"""Judges of clusters and of maps."""
