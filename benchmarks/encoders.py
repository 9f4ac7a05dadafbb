"""Forward and backward passes of ResNet-18 for small images: ours beside torchvision's, all in one run.

    pip install -e '.[bench]' torchvision && python benchmarks/encoders.py [--batch=64] [--rounds=5]

One network (3x3 stem, no maximum after it, batch norm in training mode, float32), its gradient by the mean square of
the features, and the new running statistics:
  ours               `models.resnet18`
  jax, NHWC / NCHW   the same written with jax.lax alone, in either layout: what XLA does with the convolutions
  torch, eager       torchvision's resnet18; and with channels last
  torch, compiled    the same through torch.compile
Contestants alternate in rounds and the table holds medians over rounds, so that a noisy machine disturbs all alike.
The last column is the share of the machine's float32 matrix-multiply rate, measured in the same rounds, that three
times the forward pass's operations make up.
"""

import argparse
import os
import platform
import statistics
import time

import jax
import jax.numpy as jnp
import machine
import numpy as np

from unsupjax import models

STRIDES = (1, 1, 2, 1, 2, 1, 2, 1)  # of the eight blocks; each halving doubles the channels
LAYOUTS = {"NHWC": ("NHWC", "HWIO", "NHWC"), "NCHW": ("NCHW", "OIHW", "NCHW")}


def ours(x, width):
    """Our module."""
    module = models.resnet18(width=width)
    x = jnp.asarray(x)
    variables = jax.jit(module.init)(jax.random.key(0), x)

    def loss(params, stats, x):
        bound = {"params": params, "batch_stats": stats}
        output, moved = module.apply(bound, x, train=True, mutable=["batch_stats"])
        return jnp.mean(output**2), moved

    arguments = (variables["params"], variables["batch_stats"], x)
    flops = 3 * jax.jit(loss).lower(*arguments).cost_analysis()["flops"]
    step = jax.jit(jax.grad(loss, has_aux=True))
    return lambda: jax.block_until_ready(step(*arguments)), flops


def plain(x, width, layout):
    """Convolutions and batch norm of jax.lax in one layout."""
    channel = layout.index("C")
    others = tuple(i for i in range(4) if i != channel)
    numbers = LAYOUTS[layout]
    x = jnp.asarray(x if layout == "NHWC" else np.moveaxis(x, 3, 1))

    def draw(size, inputs, outputs):
        shape = {"H": size, "W": size, "I": inputs, "O": outputs}
        return jnp.asarray(
            np.random.default_rng(0).normal(size=[shape[c] for c in numbers[1]]) * 0.05, jnp.float32
        )

    def conv(x, kernel, stride=1):
        pad = kernel.shape[numbers[1].index("H")] // 2
        x = jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), [(pad, pad)] * 2, dimension_numbers=numbers
        )
        mean, square = x.mean(others, keepdims=True), jnp.square(x).mean(others, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(square - mean**2 + 1e-5), (mean, square)

    params, channels = [(draw(3, 3, width),)], width
    for stride in STRIDES:
        inputs, channels = channels, channels * stride
        block = (draw(3, inputs, channels), draw(3, channels, channels))
        params.append(block if stride == 1 else (*block, draw(1, inputs, channels)))

    def loss(params, x):
        x, statistics = conv(x, params[0][0])
        x, statistics = jax.nn.relu(x), [statistics]
        for stride, kernels in zip(STRIDES, params[1:], strict=True):
            y, s1 = conv(x, kernels[0], stride)
            y, s2 = conv(jax.nn.relu(y), kernels[1])
            shortcut, *s3 = conv(x, kernels[2], stride) if stride == 2 else (x,)
            x = jax.nn.relu(y + shortcut)
            statistics += [s1, s2, *s3]
        return jnp.mean(x.mean(others[1:]) ** 2), statistics

    step = jax.jit(jax.grad(loss, has_aux=True))
    return lambda: jax.block_until_ready(step(params, x))


def torch_resnet18(width):
    """torchvision's, with the small stem, `width` channels in its first stage, and features as its output."""
    import torch
    import torchvision

    class Narrow(torchvision.models.ResNet):
        def _make_layer(self, block, planes, *arguments, **options):
            self.inplanes = width if planes == 64 else self.inplanes
            return super()._make_layer(block, planes * width // 64, *arguments, **options)

    model = Narrow(torchvision.models.resnet.BasicBlock, [2, 2, 2, 2])
    model.conv1 = torch.nn.Conv2d(3, width, 3, padding=1, bias=False)
    model.bn1 = torch.nn.BatchNorm2d(width)
    model.maxpool = model.fc = torch.nn.Identity()
    return model.train()


def torch_step(x, width, kind):
    """One forward and backward pass of it."""
    import torch

    memory = torch.contiguous_format if kind == "eager" else torch.channels_last
    model = torch_resnet18(width).to(memory_format=memory)
    x = torch.from_numpy(np.moveaxis(x, 3, 1).copy()).to(memory_format=memory)
    forward = torch.compile(model) if "compiled" in kind else model

    def step():
        model.zero_grad(set_to_none=True)
        forward(x).square().mean().backward()

    return step


def contest(width, batch, rounds):
    """Median seconds of every contestant's step, floating-point operations of one, and the median sgemm rate."""
    x = np.random.default_rng(0).normal(size=(batch, 32, 32, 3)).astype(np.float32)
    step, flops = ours(x, width)
    contestants = {"ours": step}
    contestants |= {f"jax, {layout}": plain(x, width, layout) for layout in LAYOUTS}
    for kind in ("eager", "channels last", "compiled, channels last"):
        contestants[f"torch, {kind}"] = torch_step(x, width, kind)
    for step in contestants.values():
        step()
    times, rates = {name: [] for name in contestants}, []
    for _ in range(rounds):
        rates.append(machine.sgemm_rate())
        for name, step in contestants.items():
            step()  # wakes the threads of its library
            start = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(t) for name, t in times.items()}, flops, statistics.median(rates)


def main():
    """Prints the table."""
    import torch
    import torchvision

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--width", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    versions = f"jax {jax.__version__}, torch {torch.__version__}, torchvision {torchvision.__version__}"
    print(f"{versions}, Python {platform.python_version()}, {torch.get_num_threads()} threads", end=", ")
    print(f"median of {arguments.rounds} rounds\n")
    print(
        "| width, batch | | s a step | images/s | x torch eager | x the fastest torch | share of sgemm rate |"
    )
    print("|---|---|---|---|---|---|---|")
    for width in arguments.width:
        for batch in arguments.batch:
            seconds, flops, rate = contest(width, batch, arguments.rounds)
            eager = seconds["torch, eager"]
            fastest = min(s for name, s in seconds.items() if name.startswith("torch"))
            for name, s in seconds.items():
                print(
                    f"| {width}, {batch} | {name} | {s:.3f} | {batch / s:,.0f} | {eager / s:.2f} | "
                    f"{fastest / s:.2f} | {flops / s / rate:.0%} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
