"""Round trip of a crystal codec on real structures: CIF -> text -> crystal, compared with the CIF.

Usage: python benchmarks/codec_roundtrip.py ../shared/data/crystal/mp_20_biternary/val.csv.gz --workers 2

Every row must give the same reduced formula, the space group written in the text when spglib measures the decoded
crystal (symprec 0.1), and a normalised RMS displacement below 0.02. Rows that do not are listed with the reason.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

RMS_LIMIT = 0.02
SYMPREC = 0.1


def check_row(row: dict[str, str]) -> dict[str, Any]:
    """Return the round-trip record of one CSV row: its text, the comparison, and the CPU time of both directions."""
    import spglib
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Structure

    from domains.crystal.codec import WyText

    warnings.simplefilter("ignore")
    record: dict[str, Any] = {"id": row["material_id"], "formula": row["pretty_formula"], "problems": []}
    try:
        structure = Structure.from_str(row["cif"], fmt="cif")
        started = time.process_time()
        text = WyText().encode(structure, SYMPREC)
        encoded = time.process_time()
        crystal = WyText().decode(text)
        crystal.frac, crystal.lattice  # noqa: B018  (the arrays are part of the decoding time)
        record.update(text=text, encode_ms=1e3 * (encoded - started), decode_ms=1e3 * (time.process_time() - encoded))
        cell = crystal.primitive
        dataset = spglib.get_symmetry_dataset((cell.lattice, cell.frac, cell.numbers), symprec=SYMPREC)
        record.update(sg=crystal.sg, measured=int(dataset.number) if dataset else 0)
        decoded = crystal.to_structure(primitive=True)
        # The matcher's own cell reduction can fail on near-tetragonal cells; then the cells are compared as they are.
        distance = StructureMatcher().get_rms_dist(structure, decoded)
        distance = distance or StructureMatcher(primitive_cell=False).get_rms_dist(structure, decoded)
        record["rms"] = float(distance[0]) if distance else None
        ratio = (decoded.volume / len(decoded)) / (structure.volume / len(structure))
        record["volume_error"] = abs(ratio - 1)
        formula = structure.composition.reduced_formula
        if crystal.reduced_formula != formula:
            record["problems"].append(f"formula {crystal.reduced_formula}, CIF {formula}")
        if record["measured"] != crystal.sg:
            record["problems"].append(f"measured group {record['measured']}, text {crystal.sg}")
        if distance is None or distance[0] >= RMS_LIMIT:
            record["problems"].append(f"RMS {record['rms']}")
        if WyText().canonical(crystal) != text:
            record["problems"].append("canonical text is no fixed point")
    except Exception as error:  # a benchmark lists every failure instead of stopping at the first
        record["problems"].append(f"{type(error).__name__}: {error}")
    return record


def summarize(records: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """Return the figures of the table."""
    read = [record for record in records if "decode_ms" in record]
    compared = [record for record in records if record.get("rms") is not None]
    lengths = sorted(len(record["text"]) for record in read)
    median = {key: sorted(record[key] for record in read)[len(read) // 2] for key in ("encode_ms", "decode_ms")}
    return {
        "rows": len(records),
        "sound": sum(not record["problems"] for record in records),
        "not_encoded": len(records) - len(read),
        "group_differs_from_mp": sum(record.get("sg") not in (None, record["mp_sg"]) for record in records),
        "rms_mean": sum(record["rms"] for record in compared) / max(1, len(compared)),
        "rms_max": max((record["rms"] for record in compared), default=None),
        "volume_error_max": max((record["volume_error"] for record in compared), default=None),
        "characters_median": lengths[len(lengths) // 2],
        "characters_max": lengths[-1],
        "encode_ms_median": median["encode_ms"],
        "decode_ms_median": median["decode_ms"],
        "seconds": seconds,
    }


def main() -> None:
    """Run the benchmark, print its table and write its JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", type=Path, help="MP-20 CSV (.csv or .csv.gz) with a cif column")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--limit", type=int, default=None, help="check only the first rows")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "codec_roundtrip.json")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    csv.field_size_limit(10**8)
    data = args.csv.read_bytes()
    text = (gzip.decompress(data) if args.csv.suffix == ".gz" else data).decode()
    rows = list(csv.DictReader(io.StringIO(text)))[: args.limit]
    started = time.perf_counter()
    with ProcessPoolExecutor(args.workers) as pool:
        records = list(pool.map(check_row, rows, chunksize=50))
    for row, record in zip(rows, records, strict=True):
        record["mp_sg"] = int(row["spacegroup.number"])
    summary = summarize(records, time.perf_counter() - started)
    exceptions = [record for record in records if record["problems"]]
    for key, value in summary.items():
        print(f"{key:24} {value:.5g}" if isinstance(value, float) else f"{key:24} {value}")
    for record in exceptions:
        print(f"{record['id']:12} {record['formula']:16} {'; '.join(record['problems'])}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    partial = args.out.with_suffix(".partial")
    result = {"data": args.csv.name, "summary": summary, "exceptions": exceptions}
    partial.write_text(json.dumps(result, indent=1) + "\n")
    os.replace(partial, args.out)


if __name__ == "__main__":
    main()
