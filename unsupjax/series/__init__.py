"""Time series on the host: how anomalies in them are scored, thresholded and judged. NumPy arrays in and out."""
