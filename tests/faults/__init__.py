"""Faults: the product among processes, sockets and disks that fail."""
