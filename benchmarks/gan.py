"""Throughput of a whole GAN step, discriminator and generator, beside the same networks in PyTorch, in one run.

    pip install -e '.[bench]' && python benchmarks/gan.py [--rounds=5] [--batch=64] [--cases mlp dcgan32 dcgan64]

Random data, non-saturating loss, Adam, no augmentation: an update of the discriminator on real examples and samples,
then one of the generator. Images a second are real ones.
  ours               `methods.gan` over a resident feed, as train.py runs it; it keeps an average of the generator too
  torch, eager       the same networks in channels first, tensors in memory, fused Adam, no average
  torch, compiled    both losses through torch.compile, channels last where there are convolutions
Then what penalties and spectral norm cost, as multiples of our plain step without batch norm in the discriminator.
Contestants alternate in rounds; the tables hold medians.
"""

import argparse
import itertools
import platform
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from unsupjax import methods, models
from unsupjax.data.feeds import resident
from unsupjax.data.kinds import Images
from unsupjax.parallel.mesh import make_mesh, place_batch, replicated
from unsupjax.run import loop

LATENT = 64
on_cpu = lambda: jax.default_backend() == "cpu"  # asked when the devices are chosen
CASES = {  # shape, networks
    "mlp": ((28, 28, 1), "mlp"),
    "dcgan28": ((28, 28, 1), "dcgan"),
    "dcgan32": ((32, 32, 3), "dcgan"),
    "dcgan64": ((64, 64, 3), "dcgan"),
}
COSTS = {
    "plain": {},
    "R1": {"penalty": "r1"},
    "R1 every 16th": {"penalty": "r1", "penalty_every": 16},
    "R1 and R2": {"penalty": "r1_r2"},
    "WGAN-GP": {"penalty": "wgan_gp", "loss": "wasserstein"},
    "spectral norm": {"norm": "spectral"},
}


def networks(kind, shape, width, norm="batch"):
    """Our generator and discriminator."""
    if kind == "mlp":
        spectral = norm == "spectral"
        return models.MLPGenerator(shape, (256, 512), output="unit"), models.MLPDiscriminator(
            (512, 256), spectral
        )
    return models.DCGANGenerator(shape, width), models.DCGANDiscriminator(width, norm=norm)


def ours(case, width, batch, steps, norm="batch", **arguments):
    """A function that runs that many of our steps."""
    shape, kind = CASES[case]
    x = np.random.default_rng(0).integers(0, 256, (20 * batch, *shape), np.uint8)
    mesh = make_mesh(jax.devices() if on_cpu() else jax.devices()[:1])
    adam = lambda: optax.adam(2e-4, b1=0.5)
    pair = networks(kind, shape, width, norm)
    method = methods.gan(*pair, adam(), adam(), latent_dim=LATENT, **arguments)
    feed = resident(jax.device_put(x, replicated(mesh)), batch, 0, 1 if on_cpu() and kind != "mlp" else 20)
    see = Images(x.shape[1:]).see
    run = loop.compile_block(method, feed, mesh, "jit", see)
    first = see(jnp.asarray(x[:batch]))
    state = jax.jit(method.init, out_shardings=replicated(mesh))(jax.random.key(0), first)
    position = 0

    def measure():
        nonlocal state, position
        for block in feed.blocks(position, position + steps):
            state, metrics = run(state, place_batch(block, mesh, "jit", 1), *feed.shared)
        jax.block_until_ready(metrics)
        position += steps

    return measure


def torch_networks(case, width):
    """The same two networks in PyTorch."""
    from torch import nn

    shape, kind = CASES[case]
    height, channels = shape[0], shape[2]
    if kind == "mlp":
        n, leaky = height * height * channels, lambda: nn.LeakyReLU(0.2)
        generator = nn.Sequential(
            *(nn.Linear(LATENT, 256), nn.ReLU(), nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, n), nn.Tanh())
        )
        return generator, nn.Sequential(
            *(nn.Linear(n, 512), leaky(), nn.Linear(512, 256), leaky(), nn.Linear(256, 1))
        )
    k = {28: 2, 32: 3, 64: 4}[height]
    side, widths = height >> k, [width * 2**i for i in reversed(range(k))]
    layers = [
        nn.Linear(LATENT, side * side * widths[0], bias=False),
        nn.Unflatten(1, (widths[0], side, side)),
    ]
    layers += [nn.BatchNorm2d(widths[0]), nn.ReLU()]
    for a, b in itertools.pairwise(widths):
        layers += [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
    generator = nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1), nn.Tanh())
    layers, before = [], channels
    for i, n in enumerate(reversed(widths)):
        layers.append(nn.Conv2d(before, n, 4, 2, 1, bias=i == 0))
        layers += [nn.BatchNorm2d(n)] * (i > 0) + [nn.LeakyReLU(0.2)]
        before = n
    return generator, nn.Sequential(*layers, nn.Flatten(), nn.Linear(before * side * side, 1))


def in_torch(case, width, batch, steps, compiled):
    """A function that runs that many steps of the PyTorch loop."""
    import torch
    from torch.nn.functional import softplus

    shape, kind = CASES[case]
    device = "cpu" if on_cpu() else "cuda"
    g, d = (network.to(device).train() for network in torch_networks(case, width))
    images = torch.randint(0, 256, (20 * batch, shape[2], *shape[:2]), dtype=torch.uint8, device=device)
    flat = kind == "mlp"
    if compiled and not flat:
        g, d = g.to(memory_format=torch.channels_last), d.to(memory_format=torch.channels_last)
    adam = lambda network: torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999), fused=True)
    opt_g, opt_d = adam(g), adam(d)

    def loss_d(x, z):
        return softplus(-d(x)).mean() + softplus(d(g(z).detach())).mean()

    def loss_g(z):
        return softplus(-d(g(z))).mean()

    if compiled:
        loss_d, loss_g = torch.compile(loss_d), torch.compile(loss_g)

    def measure():
        for _ in range(steps):
            raw = images[torch.randint(0, len(images), (batch,), device=device)]
            x = raw.float() / 127.5 - 1
            x = x.flatten(1) if flat else x
            for optimizer, loss in ((opt_d, loss_d), (opt_g, loss_g)):
                z = torch.randn(batch, LATENT, device=device)
                optimizer.zero_grad(set_to_none=True)
                value = loss(x, z) if loss is loss_d else loss(z)
                value.backward()
                optimizer.step()
        float(value.detach())

    return measure


def medians(contestants, rounds):
    """Median seconds of each function, which alternate; the first round compiles."""
    times = {name: [] for name in contestants}
    for i in range(rounds + 1):
        for name, measure in contestants.items():
            begin = time.perf_counter()
            measure()
            if i:
                times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(t) for name, t in times.items()}


def main():
    """Runs and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=["mlp", "dcgan32", "dcgan64"], choices=CASES)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without_peers", action="store_true")
    parser.add_argument("--devices", type=int, default=1, help="into which the CPU is divided")
    options = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", options.devices)
    print(
        f"{platform.machine()}, {jax.devices()[0].device_kind}, jax {jax.__version__}, batch {options.batch}\n"
    )
    print(
        "| | images/s, ours | torch eager | torch compiled | ours / eager | ours / compiled |\n|---|"
        + 5 * "---|"
    )
    for case in options.cases:
        steps = (200 if case == "mlp" else 4) if on_cpu() else 200
        common = (case, options.width, options.batch, steps)
        contestants = {"ours": ours(*common)}
        if not options.without_peers:
            contestants |= {"eager": in_torch(*common, False), "compiled": in_torch(*common, True)}
        times = medians(contestants, options.rounds)
        rates = [steps * options.batch / t for t in times.values()]
        ratios = [times[name] / times["ours"] for name in list(times)[1:]]
        numbers = [f"{rate:,.0f}" for rate in rates] + [f"{ratio:.2f}" for ratio in ratios]
        print(f"| {case} |", " | ".join(numbers), "|", flush=True)
    print(
        "\n| costs, times the plain step |",
        " | ".join(options.cases),
        "|\n|---|" + len(options.cases) * "---|",
    )
    rows = {name: [] for name in COSTS}
    for case in options.cases:
        steps = (100 if case == "mlp" else 3) if on_cpu() else 100
        make = lambda arguments, case=case, steps=steps: ours(
            case, options.width, options.batch, steps, **{"norm": "none"} | arguments
        )
        times = medians({name: make(arguments) for name, arguments in COSTS.items()}, options.rounds)
        for name, t in times.items():
            rows[name].append(t / times["plain"])
    for name, values in rows.items():
        print(f"| {name} |", " | ".join(f"{v:.2f}" for v in values), "|")


if __name__ == "__main__":
    main()
