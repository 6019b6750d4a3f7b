"""`robustkit doctor`."""

from __future__ import annotations

import importlib.metadata
import sys

import click

OPTIONAL = (
    "galsim",
    "astropy",
    "h5py",
    "onnx",
    "onnxruntime",
    "timm",
    "torchvision",
    "transformers",
    "keras",
    "llvmlite",
    "distributed",
    "parsl",
    "tensorboard",
    "optuna",
    "umap-learn",
    "captum",
)


@click.command(name="doctor")
@click.option("--attack", "check", is_flag=True, help="Attack networks whose answer is known.")
def command(check: bool) -> None:
    """Says what is installed; with --attack, whether the searches find what is known to exist."""
    import torch

    from robustkit.models.checkpoint import versions

    for name, version in versions().items():
        click.echo(f"{name:12} {version}")
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    click.echo(f"{'device':12} {', '.join(devices) or f'cpu, {torch.get_num_threads()} threads'}")
    for name in OPTIONAL:
        click.echo(f"{name:12} {_version(name)}")
    if check and not _attack_is_well():
        sys.exit(1)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed (optional)"


def _attack_is_well() -> bool:
    from robustkit.perturb.doctor import check_attack

    well = True
    for finding in check_attack():
        click.echo(f"{'ok' if finding.ok else 'FAILED':8} {finding.name}: {finding.detail}")
        well &= finding.ok
    return well
