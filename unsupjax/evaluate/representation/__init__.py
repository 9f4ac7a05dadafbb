"""Judges of codes."""
