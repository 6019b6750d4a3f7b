"""Examples at the end of every help, as they are typed after `robustkit`."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "audit": (
        "audit -m mmd.pt --base source.pt --quick -o audit",
        "audit -m best.pth --arch network.py:Net -d cutouts --require 'flip_rate<=0.9'",
        "audit audit.toml --baseline last/audit.json",
    ),
    "plan": ("plan -n 150", "plan audit.toml --pilot audit"),
    "report": (
        "report audit",
        "report audit --journal mnras --lite --pdf",
        "report audit --require 'accuracy.low>=0.7'",
    ),
    "compare": ("compare new old -o new-against-old", "compare audits/mmd audits/dann audits/coral -o methods"),
    "attack": (
        "attack -m ckpt.pt -n 150 -o attack",
        "attack -m ckpt.pt -d cutouts --search auto --search random --budget 2000",
        "attack -m ckpt.pt --preset paper",
    ),
    "certify": ("certify -m ckpt.pt -n 20 -o certified", "certify -m ckpt.pt -n 20 --values grid:5"),
    "hazard": (
        "hazard -m ckpt.pt -d images",
        "hazard -m ckpt.pt -d images --fault cosmic-ray --kept 0.01",
        "hazard -m ckpt.pt --fault satellite --rate satellite=0.002",
    ),
    "sweep": (
        "sweep -m ckpt.pt --suite lsst -o sweep",
        "sweep -m ckpt.pt --perturb exposure --levels 1 0.5 0.2 0.1",
        "sweep -m ckpt.pt --perturb mine.py:Streak --base source.pt",
    ),
    "window": ("window -m ckpt.pt --run attack -o windows", "window -m ckpt.pt --run attack --x one-pixel --y psf:s2"),
    "isomap": ("isomap -m ckpt.pt --run attack -o maps", "isomap -m mmd.pt --run a --base source.pt --base-run b"),
    "distances": (
        "distances -m ckpt.pt --run attack -o distances",
        "distances -m mmd.pt --run a --base source.pt --base-run b",
    ),
    "merge": ("merge runs/shard-1 runs/shard-2 -o attack", "merge runs/shard-* -o attack -m ckpt.pt -d images"),
    "predict": (
        "predict -m ckpt.pt -d survey.npy -o classes.fits",
        "predict -m ckpt.pt -d survey.parquet -o classes.parquet --columns ra,dec",
        "predict -m net.onnx -d cutouts --classes spiral,elliptical -o classes.csv",
    ),
    "flag": (
        "flag -m ckpt.pt -d survey -o flags.fits",
        "flag -m ckpt.pt -d survey --conformal sets --columns ra,dec --catalogue cat.fits -o flags.parquet",
        "flag -m net.onnx -d cutouts --suite plain --reference training -o flags.csv",
    ),
    "inspect": (
        "inspect -m best.pth",
        "inspect -m best.pth --arch network.py:Net -d cutouts --write card.toml",
        "inspect -m net.onnx -d images.npz --classes spiral,elliptical,merger",
    ),
    "repair": (
        "repair -m source.pt -o repaired.pt",
        "repair -m best.pth --arch network.py:Net -d cutouts -o repaired.pt",
    ),
    "export": (
        "export -m repaired.pt --onnx repaired.onnx",
        "export -m best.pth --arch network.py:Net -d cutouts --torchscript best.ts",
    ),
    "simulate": ("simulate -n 1200 --years 10 1 -o galaxies", "simulate -n 300 --survey des --size 64"),
    "train": (
        "train -d galaxies --network convnet --epochs 20 -o source.pt",
        "train -d galaxies --method mmd --seeds 3 -o models",
        "train --source galaxies/Y10 --target galaxies/Y1 --method dann -o dann.pt",
    ),
    "search": (
        "search -d galaxies --method mmd --trials 20 -o trials",
        "search --source deep --target shallow --epochs 10 -o trials",
    ),
    "evaluate": ("evaluate -m models", "evaluate -m source.pt -m mmd.pt -o evaluation"),
    "reproduce": ("reproduce ad22 --scale small", "reproduce da20 --scale tiny -o da20"),
    "doctor": ("doctor", "doctor --attack"),
    "completion": ("completion bash", "completion zsh > ~/.zfunc/_robustkit"),
    "help": ("help", "help audit"),
}
