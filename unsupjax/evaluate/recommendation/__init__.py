"""Judges of models that rank items."""
