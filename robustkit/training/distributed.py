"""Several processes, one training run: started by torchrun, equal in its numbers to a single process.

Every process takes its share of each batch. Latents and logits are gathered before any loss is computed, so a penalty
sees the whole batch (the mean of the MMDs of two halves is another loss), and batch norm takes its statistics over
all processes. Each process computes the same loss of the same rows, whose gradients are then averaged.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from robustkit.devices import choose_device
from robustkit.errors import InputError
from robustkit.training.alignment import Outputs


@dataclass(frozen=True)
class World:
    """The process group of a run.

    Attributes:
        rank: Rank of this process; rank 0 writes the files.
        size: Number of processes.
        device: Device of this process.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def check_batch(self, batch: int, of: str = "images") -> None:
        """Refuses a batch that the processes cannot share evenly: the loss would lack the labels' last rows.

        Args:
            batch: Images of each domain in a step.
            of: What they are.

        Raises:
            InputError: Names the batch and the nearest below it that can be shared.
        """
        if batch % self.size == 0:
            return
        advice = f"give --batch {batch - batch % self.size}" if batch > self.size else "start fewer processes"
        raise InputError(f"a batch of {batch} {of} cannot be shared evenly by {self.size} processes; {advice}")

    def share(self, rows: Any) -> Any:
        """This process's part of a batch that `check_batch` has passed, or `None` of `None`."""
        if rows is None or self.size == 1:
            return rows
        size = len(rows) // self.size
        return rows[self.rank * size : (self.rank + 1) * size]

    def gather(self, outputs: Outputs | None) -> Outputs | None:
        """The outputs of all processes, in the order of the batch; `None` of `None`."""
        if outputs is None or self.size == 1:
            return outputs
        return Outputs(*(_Gather.apply(rows, self.rank, self.size) for rows in outputs))  # type: ignore[arg-type]

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with gradients averaged over the processes."""
        if self.size == 1:
            return network
        return nn.parallel.DistributedDataParallel(network)

    def barrier(self) -> None:
        """Waits for the other processes."""
        if self.size > 1:
            dist.barrier()

    def any(self, flag: bool) -> bool:
        """Whether any process passed True."""
        if self.size == 1:
            return flag
        count = torch.tensor(int(flag), device=self.device)
        dist.all_reduce(count)
        return bool(count)


def is_first() -> bool:
    """Whether this is the first of the processes that torchrun started, which prints."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def open_world(device: torch.device | str) -> Generator[World]:
    """Joins the processes that torchrun started, if any.

    Args:
        device: Where to train; each of several processes on `cuda` takes its own device.

    Raises:
        InputError: If the device does not exist.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    place = choose_device(str(device))
    if size == 1:
        yield World(0, 1, place)
        return
    if place.type == "cuda":
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(place)
    joined = not dist.is_initialized()
    if joined:
        dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield World(rank, size, place)
    finally:
        if joined:
            dist.destroy_process_group()


def share_batch_norm(module: nn.Module, world: World) -> nn.Module:
    """Makes every batch norm take its statistics over all processes: torch's on CUDA, ours elsewhere."""
    if world.size == 1:
        return module
    if world.device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            shared = SharedBatchNorm2d(child.num_features, child.eps, child.momentum)
            shared.load_state_dict(child.state_dict())
            setattr(module, name, shared)
        else:
            share_batch_norm(child, world)
    return module


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over all processes for devices that torch's SyncBatchNorm refuses, the CPU among them."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalises shape (N, C, H, W) by the statistics of the batch on all processes."""
        if not self.training:
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        axes = (0, 2, 3)
        count = input[:, 0].numel() * dist.get_world_size()
        mean = _all_reduce(input.sum(axes)) / count
        variance = _all_reduce((input - mean[:, None, None]).square().sum(axes)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1  # type: ignore[operator]
            momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum  # type: ignore[arg-type]
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * count / (count - 1), momentum)
        scale = self.weight / (variance + self.eps).sqrt()
        return input * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]


class _Gather(torch.autograd.Function):
    """Rows of all processes. Each computes the same loss of them, so no gradient needs to travel back."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, rank: int, size: int) -> Tensor:
        ctx.rank, ctx.size = rank, size
        parts = [torch.empty_like(rows) for _ in range(size)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        # Times the number of processes, because their gradients are averaged afterwards.
        return gradients[0].chunk(ctx.size)[ctx.rank] * ctx.size, None, None


def _all_reduce(values: Tensor) -> Tensor:
    return _AllReduce.apply(values)  # type: ignore[return-value]


class _AllReduce(torch.autograd.Function):
    """The sum over all processes; so is the gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        values = values.clone()
        dist.all_reduce(values)
        return values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].contiguous().clone()
        dist.all_reduce(gradient)
        return gradient
