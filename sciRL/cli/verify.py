"""`scirl verify`: score answers from any trainer or model, without training."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from sciRL.cli.arguments import add_data, add_domain, add_overrides, domain_options, open_domain, positive
from sciRL.dataset_folder import SPLITS
from sciRL.errors import UserError

HELP = "score a file of answers with a domain's rubric"
EXAMPLES = """each line of the input is a JSON object with an answer ("answer", "completion", "text" or "response")
and its question ("id" of a dataset task or of its row, "task", or "prompt" and "reference").

example:
  scirl verify crystal answers.jsonl --out scores.jsonl --preset strict"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a verification."""
    add_domain(parser)
    parser.add_argument("answers", type=Path, help="a JSON-lines file of answers")
    parser.add_argument("--out", type=Path, required=True, help="the JSON-lines file of scores to write")
    parser.add_argument("--preset", help="a rubric of the domain (default: its reward)")
    parser.add_argument("--split", default="test", choices=(*SPLITS, "all"), help="where ids are found")
    parser.add_argument("--workers", type=positive, default=1, help="processes that verify (default: 1)")
    add_data(parser)
    add_overrides(parser)


def run(args: argparse.Namespace) -> int:
    """Score the file and print the summary; rows that could not be read or judged exit with 1."""
    if not args.answers.is_file():
        raise UserError(f"answers file {args.answers} does not exist")
    # The summary is JSON for whoever reads stdout.
    domain = open_domain(args.domain, sys.stderr)
    options = domain_options(domain, args.overrides)
    data = args.data or domain.default_data()

    from sciRL.verification.pool import WorkerPool
    from sciRL.verification.runner import verify_file

    splits = SPLITS if args.split == "all" else (args.split,)
    asked = [task for split in splits for task in domain.tasks(data, split, options)]
    tasks = {str(task.metadata["row"]): task for task in asked if "row" in task.metadata}
    tasks |= {task.id: task for task in asked}
    rubric = domain.rubric(data, options, args.preset)
    with WorkerPool(args.workers) as pool:
        summary = verify_file(rubric, tasks, args.answers, args.out, pool, domain.name)
    print(json.dumps(summary, indent=1, ensure_ascii=False))
    return 1 if summary["bad_rows"] or summary["timeout"] or summary["error"] else 0
