"""Judges of models of text."""
