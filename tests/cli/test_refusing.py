"""Commands that cannot work end at once, with one sentence and an exit code that is not 0."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from threading import Thread

import pytest
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from cli.embedded import NOTE
from cli.ports import Ports

LIMIT_S = 60


def rooms(*words: str) -> tuple[int, str]:
    """Run `rooms` as a person does, without a variable; return the exit code and what was said."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", *words],
        capture_output=True, text=True, timeout=LIMIT_S, check=False,
        cwd=Path(__file__).parents[2],
        env={name: value for name, value in os.environ.items() if not name.startswith("ROOMS_")},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("tail", "prices", "--url", "garbage"), "garbage is no address of a gateway"),
        (("up", "--data", "/dev/null"), "is no folder that can be written: choose another"),
        (("demo", "--recording", "README.md"), "README.md holds no frames"),
    ],
)
def test_what_can_never_work_is_one_line(words: tuple[str, ...], sentence: str) -> None:
    code, said = rooms(*words, *(("--venues", "sandbox") if words[0] == "up" else ()))
    assert code == 1
    assert sentence in said.strip().splitlines()[-1]
    assert "Traceback" not in said


def test_the_demo_kills_only_what_there_is() -> None:
    code, said = rooms("demo", "--kill", "moon")
    assert code == 2
    assert "custody" in said
    assert "postgres" in said
    assert "turnkey" not in said


def test_a_tail_finds_the_gateway_of_the_stack_in_the_folder(tmp_path: Path) -> None:
    asked: list[str] = []

    def refuse(connection: ServerConnection, request: Request) -> Response:
        asked.append(request.path)
        error = {"code": "bad_query", "sentence": "Here I am."}
        return connection.respond(HTTPStatus.BAD_REQUEST, json.dumps({"error": error}))

    with serve(lambda _: None, "127.0.0.1", 0, process_request=refuse) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        ports = {**asdict(Ports.from_base(9_700)), "gateway": server.socket.getsockname()[1]}
        (tmp_path / NOTE).write_text(json.dumps({"ports": ports, "venues": "public"}))
        code, said = rooms("tail", "settlements", "--data", str(tmp_path))
        server.shutdown()
    assert (code, said.strip()) == (1, "Here I am.")
    assert [path.rpartition("/")[2] for path in asked] == ["settlements"]
