"""Rate of the strict crystal rubric on 10,000 texts, against the same checks made one by one with pyxtal and pymatgen.

Usage: python benchmarks/crystal_verification.py --rows wytext_val.jsonl.gz --texts 10000 --workers 0 1 2 --baseline 200

Texts are dataset rows, then copies with one element exchanged, one number changed or one character damaged. The
baseline gets the readable texts already parsed (group, cell, sites) and is given the formula buckets too, both in its
favour. CPU seconds are those of this process and of the worker processes: on a busy machine compare them, not wall.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from domains.crystal.chemistry import composition_key
from domains.crystal.codec import WyText
from domains.crystal.crystal import Crystal
from domains.crystal.novelty import TrainingSet
from domains.crystal.reading import Reader, Unreadable
from domains.crystal.rubrics import make_rubric
from sciRL.task import Task
from sciRL.verification.pool import WorkerPool

EMBEDDED = Path(__file__).parents[1] / "domains" / "crystal" / "data" / "prototypes" / "train.jsonl"
ELEMENTS = ("Li", "Na", "K", "Mg", "Ca", "Sr", "Al", "Ti", "Fe", "Cu", "Zn", "O", "S", "F", "Cl", "Br", "Pd", "La")


def mutate(text: str, rng: random.Random) -> str:
    """Return a text with an element exchanged, a number changed or a character damaged."""
    kind = rng.randrange(3)
    if kind == 0:
        old = text.rsplit("\n", 1)[-1].split(" ")[0]
        new = rng.choice(ELEMENTS)
        return text.replace(old, new) if new not in text else text
    if kind == 1:
        places = [i for i, letter in enumerate(text) if letter.isdigit() and text[i - 1 : i] not in ("", "\n", " ")]
        place = rng.choice(places)
        return text[:place] + rng.choice("0123456789") + text[place + 1 :]
    place = rng.randrange(len(text))
    return text[:place] + rng.choice("xQ#. ") + text[place + 1 :]


def make_texts(rows: list[str], count: int, seed: int) -> list[str]:
    """Return all rows (at most `count`) and mutations of them up to `count`, shuffled."""
    rng = random.Random(seed)
    texts = rows[:count]
    texts = texts + [mutate(rng.choice(rows), rng) for _ in range(count - len(texts))]
    rng.shuffle(texts)
    return texts


def cpu_tree(pids: list[int]) -> float:
    """CPU seconds of this process and of the given ones."""
    total = time.process_time()
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def ours(texts: list[str], training: TrainingSet, workers: int) -> dict[str, Any]:
    """Score all texts with the strict rubric in one batch."""
    from domains.crystal import contacts, novelty, reading, symmetry

    for cached in (reading._read_cached, symmetry.measure_space_group, contacts.contacts, novelty._reduced):
        cached.cache_clear()
    rubric = make_rubric("strict", training=training)
    task = Task("crystal", ({"role": "user", "content": "Propose a crystal."},))
    with WorkerPool(workers) as pool:
        pool.verify(rubric, [(task, texts[0])] * max(1, workers))
        wall, cpu = time.perf_counter(), cpu_tree(pool.pids)
        scores = pool.verify(rubric, [(task, text) for text in texts])
        wall, cpu = time.perf_counter() - wall, cpu_tree(pool.pids) - cpu
    failed = [score.reason for score in scores if not score.scorable]
    passed = sum(bool(score.measurements.get("passed")) for score in scores)
    return {"workers": workers, "texts": len(texts), "wall_s": wall, "cpu_s": cpu, "failed": failed, "passed": passed}


def baseline(crystals: list[Crystal], training: TrainingSet, known: dict[str, list[Any]]) -> dict[str, Any]:
    """Rebuild and check crystals one by one with pyxtal and pymatgen."""
    check = _baseline_check(known)
    inputs = [_pyxtal_input(crystal) for crystal in crystals]
    wall, cpu = time.perf_counter(), time.process_time()
    raised = sum(not check(*given) for given in inputs)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"texts": len(crystals), "wall_s": wall, "cpu_s": cpu, "raised": raised}


def _pyxtal_input(crystal: Crystal) -> tuple[int, tuple[float, ...], dict[str, list[tuple[str, list[float]]]]]:
    sites: dict[str, list[tuple[str, list[float]]]] = defaultdict(list)
    start = 0
    for site in crystal.sites:
        sites[site.element].append((f"{site.multiplicity}{site.letter}", crystal.frac[start].tolist()))
        start += site.multiplicity
    return crystal.sg, crystal.cell, dict(sites)


def _baseline_check(known: dict[str, list[Any]]) -> Callable[..., bool]:
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
    from pyxtal import pyxtal
    from pyxtal.lattice import Lattice
    from pyxtal.symmetry import Group

    batch: dict[str, list[Any]] = defaultdict(list)

    def check(sg: int, cell: tuple[float, ...], sites: dict[str, list[tuple[str, list[float]]]]) -> bool:
        try:
            lattice = Lattice.from_para(*cell, ltype=Group(sg).lattice_type)
            crystal = pyxtal()
            counts = [sum(int(label[:-1]) for label, _ in places) for places in sites.values()]
            crystal.build(
                sg, list(sites), counts, lattice, [[(label, *xyz) for label, xyz in p] for p in sites.values()]
            )
            structure = crystal.to_pymatgen()
            (structure.distance_matrix + np.diag([np.inf] * len(structure))).min()
            SpacegroupAnalyzer(structure, symprec=0.1).get_space_group_number()
            composition = structure.composition
            composition.reduced_composition.oxi_state_guesses(max_sites=-1)
            key = composition_key({str(el): round(n) for el, n in composition.items()})
            matcher = StructureMatcher()
            for bucket in (known[key], batch[key]):
                any(matcher.fit(structure, other) for other in bucket)
            batch[key].append(structure)
        except Exception:  # what the peers raise on odd input is counted, not fatal
            return False
        return True

    return check


def main() -> None:
    """Run, print one table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, default=EMBEDDED, help="JSONL(.gz) with a `text` column of WyText")
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--baseline", type=int, default=200, help="texts for the one-by-one checks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/crystal_verification.json"))
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    with (gzip.open if args.rows.suffix == ".gz" else open)(args.rows, "rt") as stream:
        rows = [json.loads(line) for line in stream]
    training = TrainingSet.from_rows(rows[: len(rows) * 4 // 5], WyText())
    texts = make_texts([row["text"] for row in rows], args.texts, args.seed)

    reader = Reader(WyText())
    crystals = [c for c in map(reader.read, texts[: 2 * args.baseline]) if not isinstance(c, Unreadable)]
    crystals = crystals[: args.baseline]
    known: dict[str, list[Any]] = defaultdict(list)
    wanted = {composition_key(crystal.composition) for crystal in crystals}
    for row in rows[: len(rows) * 4 // 5]:
        crystal = WyText().decode(row["text"])
        if composition_key(crystal.composition) in wanted:
            known[composition_key(crystal.composition)].append(crystal.to_structure())

    results = {"ours": [ours(texts, training, workers) for workers in args.workers]}
    peer = baseline(crystals, training, known)
    print(f"{'checks':<34}{'texts':>7}{'wall s':>9}{'cpu s':>9}{'texts/s wall':>14}{'texts/s cpu':>13}{'x cpu':>7}")
    peer_rate = peer["texts"] / peer["cpu_s"]
    lines = [(f"strict rubric, workers={r['workers']}", r) for r in results["ours"]]
    for name, r in [*lines, ("pyxtal + pymatgen, one by one", peer)]:
        r["texts_per_s_wall"], r["texts_per_s_cpu"] = r["texts"] / r["wall_s"], r["texts"] / r["cpu_s"]
        r["speedup_cpu"] = r["texts_per_s_cpu"] / peer_rate
        print(f"{name:<34}{r['texts']:>7}{r['wall_s']:>9.1f}{r['cpu_s']:>9.1f}{r['texts_per_s_wall']:>14.0f}"
              f"{r['texts_per_s_cpu']:>13.0f}{r['speedup_cpu']:>7.1f}")  # fmt: skip
    document = {**results, "baseline": peer, "seed": args.seed, "load_average": os.getloadavg()}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    aside = args.out.with_suffix(".tmp")
    aside.write_text(json.dumps(document, indent=1) + "\n")
    os.replace(aside, args.out)


if __name__ == "__main__":
    main()
