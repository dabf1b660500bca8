"""`scirl play`: a domain's own page in the browser, served on this computer only."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path
from typing import Any

from sciRL.cli.arguments import add_data, add_domain, add_overrides, domain_options, open_domain
from sciRL.domain import Domain
from sciRL.errors import UserError

HELP = "open a page on which a person takes the policy's part, or watches it"
EXAMPLES = """examples:
  scirl play medical                                    consultations of the embedded data, on 127.0.0.1:8000
  scirl play medical --policy runs/medical              watch a run's policy, with its own options and data
  scirl play medical --data data/mediq --port 8080 budget=6"""

HOST = "127.0.0.1"
_GRACE_S = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the page."""
    add_domain(parser)
    add_data(parser)
    parser.add_argument("--policy", type=Path, help="a run folder or a policy folder, to watch that policy")
    parser.add_argument("--port", type=_port, default=8000, help="port on 127.0.0.1, 0 takes any (default: 8000)")
    add_overrides(parser)


def run(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    domain = open_domain(args.domain)
    options, data = options_and_data(domain, args)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        _bind(listener, args.port)
        server = _make_server(domain, data, options, args.policy)
        print(f"http://{HOST}:{listener.getsockname()[1]}/ (Ctrl-C ends it)", flush=True)
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            # uvicorn has closed all connections and raises the signal again; for a server it is the usual end.
            print("\nended")
    return 0


def options_and_data(domain: Domain, args: argparse.Namespace) -> tuple[Any, Path]:
    """Return what the page is about; a run folder as policy brings the options and the data it was trained with."""
    if args.policy is None or not (args.policy / "manifest.json").is_file():
        return domain_options(domain, args.overrides), args.data or domain.default_data()
    from sciRL.config import load_config
    from sciRL.run.directory import RunDirectory
    from sciRL.run.settings import PolicyConfig, for_domain

    run = RunDirectory.open(args.policy)
    manifest = run.read_manifest()
    if manifest.get("domain") != domain.name:
        raise UserError(f"run {args.policy} is of domain {manifest.get('domain')!r}, not {domain.name!r}")
    settings = for_domain(PolicyConfig, domain)
    overrides = [f"domain.{text.removeprefix('domain.')}" for text in args.overrides]
    known = settings.model_fields
    config = load_config(
        settings, run.config, overrides, lambda values: {k: v for k, v in values.items() if k in known}
    )
    return config.domain, args.data or Path(manifest["data"])  # type: ignore[attr-defined]


def _bind(listener: socket.socket, port: int) -> None:
    # Without it a page that has just ended blocks its port for a minute.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        # A second program may bind the port too until one of them listens.
        listener.listen()
    except OSError as error:
        raise UserError(
            f"--port {port}: {HOST}:{port} cannot be used ({error.strerror}); choose another one, 0 takes any"
        ) from error


def _make_server(domain: Domain, data: Path, options: Any, policy: Path | None) -> Any:
    """Return the server of a domain's page; missing packages raise `UserError`."""
    try:
        app = domain.page(data, options, policy)
        import uvicorn
    except ModuleNotFoundError as error:
        raise UserError(
            f"the page needs the package {error.name!r}: install it with pip install 'sciRL[{domain.name}]'"
        ) from error
    # Nothing stands between browser and server, so headers that speak for a proxy are not to be believed.
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"must be a port, 0 to 65535; found {text!r}")
    return int(text)
