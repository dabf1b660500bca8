"""scirl play: a page on this computer only, errors of one line, and a clean end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from sciRL.cli import play
from sciRL.cli.main import build_parser, main
from sciRL.domain import load_domain

OTHER_ADDRESS = "127.0.0.2"
"""Another address of the same computer: a server on all addresses would answer there."""

PAGE = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        host, port = scope["server"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"{host} {port} {scope['app_is']}".encode()})

def page(self, data, options, policy):
    async def told(scope, receive, send):
        await app({**scope, "app_is": f"{data.name} {options.largest} {policy}"}, receive, send)
    return told

Toy.page = page
Toy.disclaimer = "A toy."
"""


@pytest.fixture
def paged(toy: Path) -> Path:
    """The toy domain with a page that says where it listens and what it was given."""
    module = toy / "site" / "toy_domain" / "__init__.py"
    module.write_text(module.read_text() + PAGE)
    return toy


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must fail as bad input does: exit code 2, one line on stderr, no URL."""
    assert main(["play", *arguments]) == 2
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert len(lines) == 1
    assert "http" not in said.out
    return lines[0]


@pytest.fixture
def served(paged: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running page: its process and its address."""
    search = f"{Path(__file__).parents[3]}{os.pathsep}{paged / 'site'}"
    command = [sys.executable, "-m", "sciRL.cli.main", "play", "toy", "--port", "0", "--policy", "p", "largest=7"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": search}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "A toy.\n"
    address = re.match(r"(http://127\.0\.0\.1:\d+/) ", process.stdout.readline())
    assert address is not None
    yield process, address.group(1)
    process.kill()
    process.wait()


def test_the_page_is_served_until_ctrl_c(served: tuple[subprocess.Popen[str], str]) -> None:
    process, address = served
    with urllib.request.urlopen(address, timeout=20) as answer:
        host, port, data, largest, policy = answer.read().decode().split()
    assert (host, largest, policy) == ("127.0.0.1", "7", "p")
    assert data == "toy_domain"
    with socket.socket() as other:
        assert other.connect_ex((OTHER_ADDRESS, int(port))) != 0
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out.strip(), err) == (0, "ended", "")


def test_a_used_port_is_one_clear_error(paged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        start = time.monotonic()
        message = error_of(capsys, "toy", "--port", port)
    assert message == (
        f"scirl: error: --port {port}: 127.0.0.1:{port} cannot be used (Address already in use); "
        "choose another one, 0 takes any"
    )
    assert time.monotonic() - start < 10


def test_a_missing_server_names_the_extra(
    paged: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "install it with pip install 'sciRL[toy]'" in error_of(capsys, "toy", "--port", "0")


def test_domains_without_a_page_and_bad_options_are_named(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "domain 'toy' has no page" in error_of(capsys, "toy", "--port", "0")
    assert "unknown key 'larges'" in error_of(capsys, "toy", "larges=2")
    for port in ("65536", "-1", "http", "8_0"):
        with pytest.raises(SystemExit) as caught:
            main(["play", "toy", f"--port={port}"])
        assert caught.value.code == 2
        assert f"must be a port, 0 to 65535; found '{port}'" in capsys.readouterr().err


def test_a_run_brings_its_own_options_and_data(paged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = paged / "run"
    run.mkdir()
    (run / "config.yaml").write_text("seed: 3\nstages: {}\ndomain: {largest: 5}\n")
    (run / "manifest.json").write_text(json.dumps({"domain": "toy", "data": "trained_on"}))
    parser = build_parser()
    domain = load_domain("toy")
    for extra, largest, data in (
        ([], 5, "trained_on"),
        (["--data", "other"], 5, "other"),
        (["largest=2"], 2, "trained_on"),
    ):
        options, folder = play.options_and_data(
            domain, parser.parse_args(["play", "toy", *extra, "--policy", str(run)])
        )
        assert (options.largest, folder) == (largest, Path(data))
    assert "unknown key" in error_of(capsys, "toy", "--policy", str(run), "larges=2")
    (run / "manifest.json").write_text(json.dumps({"domain": "crystal", "data": "x"}))
    assert "is of domain 'crystal', not 'toy'" in error_of(capsys, "toy", "--policy", str(run))
