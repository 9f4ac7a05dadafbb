"""Openers: each reads one form in which data is stored."""
