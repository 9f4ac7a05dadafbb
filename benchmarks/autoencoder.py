"""Training throughput of an MLP autoencoder: our feeds beside PyTorch loops, all in one run.

    pip install -e '.[bench]' && python benchmarks/autoencoder.py [--mnist=tfds:mnist] [--rounds=7]

One network (that of configs/autoencoder_digits.py: D-256-128-16-128-256-D, relu, Bernoulli likelihood, Adam) and one
data set in memory, trained by
  ours, resident      many steps in one compiled call, batches gathered on the device
  ours, streaming     the same with batches read by threads and sent in blocks
  ours, step by step  one compiled call a step on batches that are there already: its time over resident's is the
                      host's overhead for each call
  torch, eager        DataLoader over a TensorDataset of floats, eager model, Adam
  torch, per image    the same over a Dataset that keeps uint8 and converts each image when asked, as torchvision's do
  torch, compiled     the fastest we could write by hand: tensors in memory, a permutation indexed batch by batch,
                      forward, loss and backward through torch.compile, fused Adam
Contestants alternate in rounds and the table holds medians over rounds, so that a noisy machine disturbs all alike.
The last column is the share of the machine's float32 matrix-multiply rate, measured in the same rounds, that six
floating-point operations for each example and weight make up.
"""

import argparse
import functools
import itertools
import platform
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from unsupjax import methods, models
from unsupjax.data import arrays, open_source
from unsupjax.data.feeds import resident, streaming
from unsupjax.data.kinds import Images
from unsupjax.parallel.mesh import make_mesh, place_batch, replicated
from unsupjax.run import loop

WIDTHS = (256, 128, 16)  # those of configs/autoencoder_digits.py
STEPS = 200  # steps of one measurement


def ours(x, batch_size, kind):
    """A function that runs STEPS steps of ours and waits for them."""
    mesh = make_mesh(jax.devices()[:1])
    *hidden, latent_dim = WIDTHS
    encoder, decoder = models.MLPEncoder(hidden), models.MLPDecoder(x.shape[1:], hidden[::-1])
    method = methods.autoencoder(encoder, decoder, optax.adam(1e-3), latent_dim=latent_dim)
    block = 1 if kind == "step by step" else 100
    if kind == "streaming":
        feed = streaming(lambda index: x[index], len(x), batch_size, 0, block)
    else:
        feed = resident(jax.device_put(x, replicated(mesh)), batch_size, 0, block)
    see = Images(x.shape[1:]).see
    run = loop.compile_block(method, feed, mesh, "jit", see)
    first = see(jnp.asarray(x[:batch_size]))
    state = jax.jit(method.init, out_shardings=replicated(mesh))(jax.random.key(0), first)
    position = 0

    def measure():
        nonlocal state, position
        for block in feed.blocks(position, position + STEPS):
            state, metrics = run(state, place_batch(block, mesh, "jit", 1), *feed.shared)
        position += STEPS
        return float(metrics["loss"][-1])

    return measure


def torch_model(dimension):
    """The same network in PyTorch."""
    from torch import nn

    widths = [dimension, *WIDTHS, *WIDTHS[-2::-1], dimension]
    layers = []
    for i, (inputs, outputs) in enumerate(itertools.pairwise(widths), 1):
        layers.append(nn.Linear(inputs, outputs))
        if i not in (len(WIDTHS), len(widths) - 1):  # the code and the output are linear
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def torch_eager(x, batch_size, per_image):
    """The tutorial's loop, over a TensorDataset or a Dataset that converts each image by itself."""
    import torch
    from torch.utils.data import DataLoader, Dataset, TensorDataset

    class Images(Dataset):
        def __len__(self):
            return len(x)

        def __getitem__(self, i):
            return (torch.from_numpy(x[i]).reshape(-1).float().div(255),)

    data = Images() if per_image else TensorDataset(torch.from_numpy(x.reshape(len(x), -1)).float() / 255)
    model = torch_model(x[0].size)
    tx = torch.optim.Adam(model.parameters(), 1e-3)
    loader = DataLoader(data, batch_size, shuffle=True, drop_last=True)
    batches = iter(loader)

    def measure():
        nonlocal batches
        for _ in range(STEPS):
            batch = next(batches, None)
            if batch is None:
                batches = iter(loader)
                batch = next(batches)
            tx.zero_grad()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                model(batch[0]), batch[0], reduction="sum"
            )
            loss = loss / batch_size
            loss.backward()
            tx.step()
        return loss.item()

    return measure


def torch_compiled(x, batch_size):
    """In-memory tensors, torch.compile, fused Adam."""
    import torch

    data = torch.from_numpy(x.reshape(len(x), -1)).float() / 255
    model = torch_model(data.shape[1])
    tx = torch.optim.Adam(model.parameters(), 1e-3, fused=True)

    @torch.compile
    def loss_of(batch):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(batch), batch, reduction="sum")
        return loss / batch_size

    order, position = torch.randperm(len(data)), 0

    def measure():
        nonlocal order, position
        for _ in range(STEPS):
            if position + batch_size > len(data):
                order, position = torch.randperm(len(data)), 0
            batch = data[order[position : position + batch_size]]
            position += batch_size
            tx.zero_grad(set_to_none=True)
            loss = loss_of(batch)
            loss.backward()
            tx.step()
        return loss.item()

    return measure


def matmul_rate():
    """A function that measures floating-point operations a second of a large float32 matrix product."""

    @jax.jit
    def product(a, b):
        return a @ b

    a = jnp.ones((2048, 2048))
    product(a, a).block_until_ready()

    def measure():
        start = time.perf_counter()
        for _ in range(5):
            product(a, a).block_until_ready()
        return 5 * 2 * 2048**3 / (time.perf_counter() - start)

    return measure


def contest(x, batch_size, rounds):
    """Median seconds a step of every contestant, and the median matrix-multiply rate."""
    contestants = {
        f"ours, {kind}": ours(x, batch_size, kind) for kind in ("resident", "streaming", "step by step")
    }
    contestants["torch, eager"] = torch_eager(x, batch_size, per_image=False)
    contestants["torch, per image"] = torch_eager(x, batch_size, per_image=True)
    contestants["torch, compiled"] = torch_compiled(x, batch_size)
    rate = matmul_rate()
    for measure in contestants.values():
        measure()
        measure()
    times, rates = {name: [] for name in contestants}, []
    for _ in range(rounds):
        rates.append(rate())
        for name, measure in contestants.items():
            time.sleep(0.3)  # until the threads of the one before have gone to sleep
            start = time.perf_counter()
            loss = measure()
            times[name].append((time.perf_counter() - start) / STEPS)
            assert np.isfinite(loss)
    return {name: statistics.median(t) for name, t in times.items()}, statistics.median(rates)


def parameters(dimension):
    """Weights of the network, without biases."""
    widths = (dimension, *WIDTHS)
    return 2 * sum(a * b for a, b in itertools.pairwise(widths))


def rows(name, x, batch_size, rounds):
    """The table's rows of one data set and batch size."""
    seconds, rate = contest(x, batch_size, rounds)
    flops = 6 * parameters(x[0].size) * batch_size
    eager, compiled = seconds["torch, eager"], seconds["torch, compiled"]
    for contestant, s in seconds.items():
        share = f"{flops / s / rate:.0%}"
        yield (
            f"| {name}, {batch_size} | {contestant} | {1e6 * s:,.0f} | {1 / s:,.0f} | {eager / s:.1f} | "
            f"{compiled / s:.2f} | {share} |"
        )
    overhead = 1e6 * (seconds["ours, step by step"] - seconds["ours, resident"])
    yield f"| {name}, {batch_size} | overhead of one call | {overhead:,.0f} | | | | |"


def main():
    """Prints the table."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--mnist", default="", help="where MNIST is, such as tfds:mnist; without it, digits alone"
    )
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    sets = {"digits": functools.partial(open_source, "digits")}
    if arguments.mnist:
        sets["MNIST"] = functools.partial(open_source, arguments.mnist)
    print(
        f"jax {jax.__version__}, torch {torch.__version__} ({torch.get_num_threads()} threads), Python",
        end=" ",
    )
    print(
        f"{platform.python_version()}, {jax.devices()[0].device_kind}, median of {arguments.rounds} rounds\n"
    )
    print("| data, batch | | µs a step | steps/s | x torch eager | x torch compiled | share of sgemm rate |")
    print("|---|---|---|---|---|---|---|")
    for name, source in sets.items():
        x, _ = arrays(source().train)
        for batch_size in (128, 256):
            for row in rows(name, x, batch_size, arguments.rounds):
                print(row, flush=True)


if __name__ == "__main__":
    main()
