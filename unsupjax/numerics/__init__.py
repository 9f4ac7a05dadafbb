"""Arrays in, arrays out: what rooms share that may not import each other."""
