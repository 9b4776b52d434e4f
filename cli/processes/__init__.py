"""Processes: each of the product's processes, put together from its settings, a file each.

Promises  a process is handed only what it needs, and imports only that; it says that it is ready
          when it does its work.
"""
