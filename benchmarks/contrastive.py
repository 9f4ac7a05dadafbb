"""Throughput of a whole SimCLR step, ours beside lightly's, in one run; and where the time of ours goes.

    pip install -e '.[bench]' && python benchmarks/contrastive.py [--data=npz:cifar10.npz] [--width=64] [--batch=128]

Images of 32 x 32 x 3 (random ones without --data), a ResNet-18 with the CIFAR stem, a projector of 512 and 128 units,
two views of crop, flip, colour jitter and grey, NT-Xent, SGD with momentum. Source images a second: each is augmented
twice, and both views pass forward and backward.
  ours              one compiled call a step (XLA:CPU) or 20 steps (elsewhere), images resident on the device
  lightly           its SimCLRTransform in DataLoader workers (as many as cores), torchvision's ResNet, its NTXentLoss
  lightly, tensors  the same without any input: a step on one batch of views that is there already
The profile of ours: each part compiled by itself; backward is what a gradient takes beyond the forward pass.
Contestants alternate in rounds; the table holds medians.
"""

import argparse
import functools
import os
import platform
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from encoders import torch_resnet18
from machine import sgemm_rate

from unsupjax import augment, losses, methods, models
from unsupjax.data import arrays, open_source
from unsupjax.data.feeds import resident
from unsupjax.data.kinds import Images
from unsupjax.methods.parts.stack import stack
from unsupjax.parallel.mesh import make_mesh, place_batch, replicated
from unsupjax.run import loop

SHAPE = (32, 32, 3)
TEMPERATURE = 0.2
on_cpu = lambda: jax.default_backend() == "cpu"  # asked when the devices are chosen


def parts(width, dtype):
    """Encoder, projector, policy and optimizer."""
    encoder = models.resnet18(width=width, dtype=dtype)
    projector = models.ProjectionHead((512, 128), dtype=dtype)
    return encoder, projector, augment.simclr(SHAPE), optax.sgd(0.03, momentum=0.9)


def ours(x, width, batch, steps, dtype):
    """A function that runs `steps` whole steps and waits for them."""
    mesh = make_mesh(jax.devices() if on_cpu() else jax.devices()[:1])
    encoder, projector, policy, tx = parts(width, dtype)
    method = methods.simclr(encoder, projector, tx, augment=policy, temperature=TEMPERATURE)
    feed = resident(jax.device_put(x, replicated(mesh)), batch, 0, 1 if on_cpu() else 20)
    see = Images(x.shape[1:]).see
    run = loop.compile_block(method, feed, mesh, "jit", see)
    first = see(jnp.asarray(x[:batch]))
    state = jax.jit(method.init, out_shardings=replicated(mesh))(jax.random.key(0), first)
    position = 0

    def measure():
        nonlocal state, position
        for block in feed.blocks(position, position + steps):
            state, metrics = run(state, place_batch(block, mesh, "jit", 1), *feed.shared)
        position += steps
        return float(metrics["loss"][-1])

    return measure


def torch_step(width, batch):
    """One update of the same network by lightly's loss on two batches of views."""
    import torch
    from lightly.loss import NTXentLoss
    from torch import nn

    head = nn.Sequential(
        nn.Linear(8 * width, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 128)
    )
    model = nn.Sequential(torch_resnet18(width), head).train()
    if not on_cpu():
        model = model.cuda().to(memory_format=torch.channels_last)
    criterion = NTXentLoss(TEMPERATURE)
    tx = torch.optim.SGD(model.parameters(), 0.03, momentum=0.9)

    def step(x1, x2):
        z1, z2 = model(torch.cat([x1, x2])).chunk(2)
        loss = criterion(z1, z2)
        tx.zero_grad()
        loss.backward()
        tx.step()
        return loss

    return step


def lightly(x, width, batch, steps):
    """The library's own pipeline: PIL transforms in workers, then the step."""
    import torch
    from lightly.transforms import SimCLRTransform
    from PIL import Image

    transform = SimCLRTransform(input_size=32, cj_strength=0.5, gaussian_blur=0.0)

    class Images(torch.utils.data.Dataset):
        def __len__(self):
            return len(x)

        def __getitem__(self, i):
            return transform(Image.fromarray(x[i]))

    loader = torch.utils.data.DataLoader(
        Images(), batch, shuffle=True, drop_last=True, num_workers=os.cpu_count(), persistent_workers=True
    )
    step, batches = torch_step(width, batch), iter(loader)

    def measure():
        nonlocal batches
        for _ in range(steps):
            views = next(batches, None)
            if views is None:
                batches = iter(loader)
                views = next(batches)
            loss = step(*(view if on_cpu() else view.cuda(non_blocking=True) for view in views[:2]))
        return float(loss.detach())

    return measure


def lightly_tensors(width, batch, steps):
    """The same step on views that are there already."""
    import torch

    step = torch_step(width, batch)
    x1, x2 = (torch.rand(batch, 3, 32, 32, device="cpu" if on_cpu() else "cuda") for _ in range(2))

    def measure():
        for _ in range(steps):
            loss = step(x1, x2)
        return float(loss.detach())

    return measure


def profile(x, width, batch, rounds, dtype):
    """Median seconds of augmentation, forward pass, loss, gradient and update, each compiled by itself."""
    encoder, projector, policy, tx = parts(width, dtype)
    networks = stack(encoder=encoder, projector=projector)
    images = Images(x.shape[1:]).see(jnp.asarray(x[:batch]))
    params, stats = networks.init(jax.random.key(0), images)
    augmented = jax.jit(lambda key, x: jnp.concatenate(jax.vmap(policy)(jax.random.split(key, len(x)), x)))
    views = augmented(jax.random.key(0), images)
    forward = jax.jit(lambda params, views: networks.forward(params, stats, views)[0])
    z = forward(params, views)
    objective = lambda z: losses.nt_xent(*jnp.split(z, 2), temperature=TEMPERATURE).mean()
    loss = jax.jit(jax.value_and_grad(objective))
    gradient = jax.jit(jax.grad(lambda params, views: objective(networks.forward(params, stats, views)[0])))
    grads, opt_state = gradient(params, views), tx.init(params)
    update = jax.jit(lambda grads, s, params: optax.apply_updates(params, tx.update(grads, s, params)[0]))
    calls = {
        "augment": lambda: augmented(jax.random.key(1), images),
        "forward": lambda: forward(params, views),
        "loss": lambda: loss(z),
        "gradient": lambda: gradient(params, views),
        "update": lambda: update(grads, opt_state, params),
    }
    times = {name: [] for name in calls}
    for i in range(rounds + 1):
        for name, call in calls.items():
            begin = time.perf_counter()
            jax.block_until_ready(call())
            if i:  # the first round compiles
                times[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(t) for name, t in times.items()}
    gradient_time = medians.pop("gradient")
    medians["backward"] = max(gradient_time - medians["forward"] - medians["loss"], 0.0)
    return medians


def flops(width, batch):
    """Floating-point operations of forward and backward passes of two views, counted by the compiler."""
    encoder, projector, _, _ = parts(width, None)
    networks = stack(encoder=encoder, projector=projector)
    views = jax.ShapeDtypeStruct((2 * batch, *SHAPE), jnp.float32)
    params, stats = jax.eval_shape(networks.init, jax.random.key(0), views)
    gradient = jax.grad(lambda p, s, v: networks.forward(p, s, v)[0].sum())
    cost = jax.jit(gradient).lower(params, stats, views).cost_analysis()
    return cost["flops"]


def main():
    """Runs and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", default="", help="a source of 32 x 32 x 3 images, for example npz:cifar10.npz"
    )
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=0, help="of a round; 0: 4 on a CPU, else 100")
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--without_peers", action="store_true")
    parser.add_argument("--devices", type=int, default=1, help="into which the CPU is divided")
    options = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", options.devices)
    width, batch, steps = options.width, options.batch, options.steps or (4 if on_cpu() else 100)
    dtype = jnp.bfloat16 if options.bfloat16 else None
    if options.data:
        x = arrays(open_source(options.data).train, 10_000)[0]
    else:
        x = np.random.default_rng(0).integers(0, 256, (10_000, *SHAPE), np.uint8)
    contestants = {"ours": functools.partial(ours, x, width, batch, steps, dtype)}
    if not options.without_peers:
        contestants["lightly"] = functools.partial(lightly, x, width, batch, steps)
        contestants["lightly, tensors"] = functools.partial(lightly_tensors, width, batch, steps)
    measures = {name: make() for name, make in contestants.items()}
    rates = {name: [] for name in measures}
    sgemm = []
    for i in range(options.rounds + 1):
        sgemm.append(sgemm_rate())
        for name, measure in measures.items():
            begin = time.perf_counter()
            measure()
            if i:  # the first round compiles and fills the workers' queues
                rates[name].append(steps * batch / (time.perf_counter() - begin))
    medians = {name: statistics.median(r) for name, r in rates.items()}
    device = jax.devices()[0].device_kind
    print(f"ResNet-18, width {width}, batch {batch}; {platform.machine()}, {device}, jax {jax.__version__}")
    print("| | source images/s | ours is x times as fast |")
    print("|---|---|---|")
    for name, rate in medians.items():
        print(f"| {name} | {rate:,.0f} | {medians['ours'] / rate:.2f} |")
    share = flops(width, batch) * medians["ours"] / batch / statistics.median(sgemm)
    print(f"\nshare of the float32 matrix-multiply rate in our networks: {share:.0%}")
    times = profile(x, width, batch, options.rounds, dtype)
    total = sum(times.values())
    print("\n| part of our step | ms | share |\n|---|---|---|")
    for name, seconds in times.items():
        print(f"| {name} | {1e3 * seconds:.1f} | {seconds / total:.0%} |")


if __name__ == "__main__":
    main()
