"""Turnkey: the commands about the organisation that holds the keys.

Promises  nothing there is changed unless asked for; no private key is printed.
"""

from typing import Annotated

import typer

from cli.logs import set_up_logs
from cli.running import run_until_told
from cli.settings import BadSettings, Settings, read_settings

app = typer.Typer(help="Wallets and policies of the organisation at Turnkey.", no_args_is_help=True)

RootKey = Annotated[
    str,
    typer.Option(
        "--root-key",
        envvar="TURNKEY_ROOT_KEY",
        help="PUBLIC:PRIVATE of a user who may do this; better given as the variable.",
    ),
]
Install = Annotated[bool, typer.Option("--install", help="Install what is missing.")]


@app.command()
def wallets(root_key: RootKey = "") -> None:
    """Make the three wallets, and print the settings that name them."""
    from cli.turnkey_account import make_wallets

    run_until_told(make_wallets(_settings(), root_key))


@app.command()
def policies(install: Install = False, root_key: RootKey = "") -> None:
    """Print the policies to install, and how those installed differ."""
    from cli.turnkey_account import show_policies

    run_until_told(show_policies(_settings(), root_key, install=install))


def _settings() -> Settings:
    set_up_logs("turnkey", "people")
    try:
        return read_settings()
    except BadSettings as error:
        raise SystemExit(f"rooms turnkey: {error}") from None
