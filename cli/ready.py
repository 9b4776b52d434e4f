"""Ready: how a process tells the one who started it that it does its work now.

In        the number of an open pipe in the variable ROOMS_READY_FD, or nothing.
Promises  told once; without anybody listening it does nothing.
"""

import os

VARIABLE = "ROOMS_READY_FD"


def tell_ready() -> None:
    """Say that this process does its work now."""
    number = os.environ.pop(VARIABLE, None)
    if number is None:
        return
    with os.fdopen(int(number), "wb") as pipe:
        pipe.write(b"ready\n")
