"""Which method of domain adaptation helps, and by how much: a table over methods and seeds that can be stopped.

    python benchmarks/adaptation.py --data galaxies --out adaptation [--networks convnet] [--seeds 3] [--epochs 60]
        [--precision bf16]
    python benchmarks/adaptation.py --source first.npz --target nvss.npz --stretch meanstd --dihedral --out radio
    python benchmarks/adaptation.py --small --out adaptation

Every run is a checkpoint in the folder; the same command again trains what is missing and prints the table. Target
labels are read for the table alone, and by the method `oracle`, which is a bound and not a result.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from robustkit.allocation import keep_freed_memory
from robustkit.errors import InputError
from robustkit.training import Settings, pair_of, train
from robustkit.training.evaluate import evaluate
from robustkit.training.many import checkpoints
from robustkit.training.table import describe, save_evaluation

METHODS = ("source", "adabn", "augment", "mmd", "coral", "dann", "sinkhorn", "mcc", "cdan", "oracle")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="Simulated galaxies at two depths.")
    parser.add_argument("--source")
    parser.add_argument("--target")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--networks", nargs="+", default=["convnet"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--precision", default="float32", help="float32, or bf16 where the machine is fast at it.")
    parser.add_argument("--stretch", help="Of the images; by default arcsinh.")
    parser.add_argument("--dihedral", action=argparse.BooleanOptionalAction)
    parser.add_argument("--small", action="store_true", help="Few small galaxies, one seed, to see that it runs.")
    arguments = parser.parse_args()
    keep_freed_memory()
    if arguments.small:
        arguments.data, arguments.seeds, arguments.epochs = small_galaxies(arguments.out), 1, 6
    source, target = pair_of(arguments.data, source=arguments.source, target=arguments.target)
    models = arguments.out / "models"
    for network in arguments.networks:
        for method in arguments.methods:
            settings = Settings(
                method=method,
                network=network,
                epochs=arguments.epochs,
                stretch=arguments.stretch,
                dihedral=arguments.dihedral,
                precision=arguments.precision,
            )
            for path, each in checkpoints(models, settings, arguments.seeds).items():
                started = time.perf_counter()
                try:
                    trained = train(source, target, out=path, settings=each, resume=True)
                except InputError as error:  # the data do not allow the method
                    print(f"{path.stem}: left out, because {error}", flush=True)
                    continue
                print(f"{trained} ({time.perf_counter() - started:.0f} s)", flush=True)
    rows = evaluate([models])
    print(f"\n{describe(rows)}")
    number = sum(1 for _ in arguments.out.glob("evaluation-*"))
    print(f"\n{save_evaluation(rows, arguments.out / f'evaluation-{number}')}")


def small_galaxies(out: Path) -> Path:
    from robustkit.data.simulate import simulate

    folder = out / "galaxies"
    if not folder.exists():
        simulate(150, size=32, out=folder)
    return folder


if __name__ == "__main__":
    main()
