"""Judges of anomalies in time series, and the scores of steps that they look at."""
