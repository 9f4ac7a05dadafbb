"""Judges of samples."""
