"""Devices and processes: the mesh, collectives, what joins processes, and what hardware there is."""
