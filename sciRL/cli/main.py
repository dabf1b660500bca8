"""The `scirl` command: one module for each verb; imports of heavy packages wait until a verb runs."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from sciRL.errors import UserError

VERBS = ("domains", "data", "train", "evaluate", "sample", "verify", "play", "report", "compare")
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    parser = argparse.ArgumentParser(
        prog="scirl",
        description="Reinforcement learning for science: data, training, evaluation, verification.",
        epilog="start with:\n  scirl domains\n  scirl train crystal",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    for name in VERBS:
        module = importlib.import_module(f"sciRL.cli.{name}")
        verb = verbs.add_parser(
            name,
            help=module.HELP,
            description=module.HELP[0].upper() + module.HELP[1:] + ".",
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(verb)
        verb.set_defaults(execute=module.run)
    return parser


def _parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse, allowing `key=value` after options too (argparse closes an optional positional at the first option)."""
    args, rest = parser.parse_known_args(argv)
    unknown = [text for text in rest if not (hasattr(args, "overrides") and "=" in text and text[0] != "-")]
    if unknown:
        from sciRL.config import shown

        named = ", ".join(map(shown, unknown))
        parser.error(f"unrecognized arguments: {named} (scirl {args.verb or ''} --help lists the allowed ones)")
    if rest:
        args.overrides = [*args.overrides, *rest]
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 1 (problems found), 2 (bad input), 130 (interrupted)."""
    parser = build_parser()
    args = _parse(parser, argv)
    if args.version:
        from sciRL import __version__

        print(__version__)
        return 0
    if args.verb is None:
        parser.print_help()
        return EXIT_USER_ERROR
    try:
        return int(args.execute(args))
    except UserError as error:
        for line in str(error).splitlines():
            print(f"scirl: error: {line}", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        hint = getattr(args, "resume_hint", "")
        print(f"\nscirl: interrupted{f'; resume with: {hint}' if hint else ''}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone; nothing is wrong. Keep the interpreter from flushing into it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
