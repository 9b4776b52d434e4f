"""Place: which installation a command is about: the variables', or the one in a folder.

In        ROOMS_* variables; or, where none is set, the folder of an embedded stack.
Out       its settings, and a sentence that says where they are from; who gives the command.
"""

import getpass
import logging
import os
import socket
import sys
from pathlib import Path

from cli.embedded import Stack
from cli.logs import set_up_logs
from cli.settings import PREFIX, BadSettings, Settings, read_settings_from


def settings_here(folder: Path) -> tuple[Settings, str]:
    """Read the settings of the installation that is meant.

    Raises:
        BadSettings: when there is none, or a setting is wrong.
    """
    if any(name.startswith(PREFIX) for name in os.environ):
        return read_settings_from(os.environ), "settings: from the ROOMS_* variables"
    stack = Stack.last(folder)
    if stack is None:
        raise BadSettings(
            "no ROOMS_* variable is set and no embedded stack was started here: "
            "run `make run` first, or set the variables of docs/settings.md"
        )
    return read_settings_from(stack.environment()), f"settings: of the embedded stack in {folder}"


def settings_for_a_person(folder: Path) -> Settings:
    """Read the settings of a command that a person gives: whatever is wrong is one line and an end.

    Raises:
        SystemExit: when there are none, or a setting is wrong.
    """
    try:
        settings, _ = settings_here(folder.resolve())
    except BadSettings as error:
        sys.exit(f"rooms: {error}")
    set_up_logs("rooms", "people", level=logging.ERROR)
    return settings


def operator() -> str:
    """Say who gives this command, and on which machine."""
    try:
        name = getpass.getuser()
    except KeyError:  # a container runs under a number that has no name
        name = f"user {os.getuid()}"
    return f"{name}@{socket.gethostname()}"
