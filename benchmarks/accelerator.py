"""What one GPU or TPU does: steps, searches and losses beside the device's nominal limits, as rows of a JSON file.

    python -m benchmarks.accelerator [--only=name,name] [--hours=H] [--size=full|toy] [--cifar=cifar10.npz]
                                     [--out=benchmarks/accelerator.json] [--force]

It needs the repository, jax, flax, optax and chex; a row that needs more is skipped and says so. Pictures are random
uint8 on the device. A row is written to the file as soon as it is known. Rows measured or failed there, of the same
device, jax and size, are not run again without --force; skipped ones are. --only takes the rows whose names begin so.
After --hours no row begins. --cifar holds x_train, y_train, x_test, y_test as uint8.

A new row is a function `row(run: Run) -> dict`, with its sizes in it, and a line in `ROWS`. It raises `Skipped` where
it cannot be measured. Most are `timed_step(run, step, state, arrays, ...)`, `step(state, *arrays) -> (state, rest)`.
What the numbers are: `benchmarks.timing`.
"""

import argparse
import functools
import gc
import importlib.util
import json
import math
import os
import pathlib
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
import optax

from benchmarks.timing import Run, compiled, figures, timed, timed_step
from unsupjax import augment, losses, methods, models, optimizers, som
from unsupjax.cluster import kmeans

SAME = ("name", "device", "jax", "size")  # what makes two rows the same


class Skipped(Exception):
    """A row that cannot be measured here, and why."""


def pictures(n, side, channels=3):
    """Random uint8 pictures on the device."""
    return jax.random.bits(jax.random.key(0), (n, side, side, channels), jnp.uint8)


def unit(x):
    """uint8 to float32 in [0, 1]."""
    return x.astype(jnp.float32) / 255


def method_step(run, method, x, batch, dtype):
    """The figures of a method's step, whose batches are gathered on the device from resident uint8 pictures."""
    state = jax.jit(method.init)(jax.random.key(1), unit(x[:batch]))

    def step(state, x):
        return method.step(state, unit(x[(state.step * batch + jnp.arange(batch)) % len(x)]))

    return timed_step(run, step, state, (x,), batch, dtype)


def networks(run, dtype):
    """Batch, side of the pictures, a residual network (ResNet-18 if full) and what makes heads for it."""
    sizes = {"full": (512, 32, 64, (2, 2, 2, 2)), "toy": (16, 8, 4, (1,))}
    batch, side, width, stages = sizes[run.size]
    head = functools.partial(models.ProjectionHead, dtype=dtype)
    return batch, side, models.ResNet(stages, width=width, dtype=dtype), head


def simclr(run, dtype):
    """A SimCLR step on 32 x 32 pictures, augmentation included, and torch's beside it."""
    batch, side, encoder, head = networks(run, dtype)
    policy, tx = augment.simclr((side, side, 3)), optimizers.sgd(0.03, momentum=0.9)
    method = methods.simclr(encoder, head((512, 128)), tx, augment=policy)
    row = method_step(run, method, pictures(4 * batch, side), batch, dtype)
    try:
        peer = torch_simclr(run, batch, encoder.width, dtype)
    except Exception as e:  # a broken torch, or no memory beside ours, must not cost our own numbers
        peer = {"torch_images_per_s": None, "torch_reason": f"{type(e).__name__}: {e}"[:500]}
    rate = peer["torch_images_per_s"]
    goals = {"goal_images_per_s_h100": 12_000, "goal_times_torch": 4}
    return row | peer | goals | {"times_torch": rate and row["examples_per_s"] / rate}


def torch_simclr(run, batch, width, dtype):
    """Images a second of the same update in torch on the same GPU, on views that are there already; or why not."""
    nothing = lambda reason: {"torch_images_per_s": None, "torch_reason": reason}
    if not all(map(importlib.util.find_spec, ("torch", "torchvision"))):
        return nothing("torch or torchvision is not installed")
    import torch

    if run.device.platform != "gpu" or not torch.cuda.is_available():
        return nothing("no CUDA device for torch")
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    from encoders import torch_resnet18

    nn, F = torch.nn, torch.nn.functional
    head = (nn.Linear(8 * width, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 128))
    model = nn.Sequential(torch_resnet18(width), *head).cuda().to(memory_format=torch.channels_last)
    torch.backends.cudnn.benchmark = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cuda.matmul.allow_tf32 = True
    views = torch.rand(2 * batch, 3, 32, 32, device="cuda").to(memory_format=torch.channels_last)
    partner = (torch.arange(2 * batch, device="cuda") + batch) % (2 * batch)
    tx = torch.optim.SGD(model.parameters(), 0.03, momentum=0.9)

    def step():
        with torch.autocast("cuda", torch.bfloat16, enabled=dtype == "bfloat16"):
            z = model(views)
        z = F.normalize(z.float(), dim=1)
        loss = F.cross_entropy((z @ z.T / 0.2).fill_diagonal_(-torch.inf), partner)
        tx.zero_grad()
        loss.backward()
        tx.step()

    seconds = []
    for _ in range(11):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(20):
            step()
        torch.cuda.synchronize()
        seconds.append((time.perf_counter() - begin) / 20)
    return {"torch_images_per_s": batch / statistics.median(seconds[1:]), "torch": torch.__version__}


def cifar10_knn90(run):
    """Seconds of SimCLR on CIFAR-10 until 90 % of the test set are right by a vote of 200 neighbours, or the best."""
    epochs, every = {"full": (800, 10), "toy": (2, 1)}[run.size]
    if not run.cifar:
        raise Skipped("needs --cifar=PATH.npz with x_train, y_train, x_test, y_test")
    from unsupjax.evaluate.representation.knn import knn_predict

    with np.load(run.cifar) as file:
        train, y_train, test, y_test = (file[k] for k in ("x_train", "y_train", "x_test", "y_test"))
    y_train, y_test, shape = y_train.ravel(), y_test.ravel(), train.shape[1:]
    batch, _, encoder, head = networks(run, "bfloat16")
    steps, x = len(train) // batch, jax.device_put(train, run.device)
    schedule = optimizers.cosine(0.06 * batch / 128, epochs * steps, warmup=0.05)
    tx = optimizers.sgd(schedule, momentum=0.9, weight_decay=5e-4)
    policy = augment.simclr(shape)
    method = methods.simclr(encoder, head((512, 128)), tx, augment=policy, temperature=0.5)

    def epoch(state, x):
        order = jax.random.permutation(jax.random.fold_in(jax.random.key(2), state.step), len(x))
        order = order[: steps * batch].reshape(steps, batch)
        return jax.lax.scan(lambda state, at: method.step(state, unit(x[at])), state, order)

    encode = jax.jit(lambda state, x: method.encode(state, unit(x)))
    codes = lambda x: np.concatenate([encode(state, x[i : i + 1000]) for i in range(0, len(x), 1000)])
    state = jax.jit(method.init)(jax.random.key(1), unit(x[:batch]))
    program, _ = compiled(epoch, state, x)
    seconds, history, start = [], [], time.perf_counter()
    for i in range(1, epochs + 1):
        begin = time.perf_counter()
        state, _ = jax.block_until_ready(program(state, x))
        seconds.append(time.perf_counter() - begin)
        late = time.monotonic() > run.deadline
        if i % every and i < epochs and not late:
            continue
        found = knn_predict(codes(train), y_train, codes(test), min(200, len(train)), 0.1)
        history.append({"epoch": i, "training_seconds": sum(seconds), "knn": float(np.mean(found == y_test))})
        print(f"  epoch {i}: {sum(seconds):.0f} s, kNN {history[-1]['knn']:.4f}", flush=True)
        if late or history[-1]["knn"] >= 0.9:
            break
    best = max(history, key=lambda entry: entry["knn"])
    reached = best["training_seconds"] if best["knn"] >= 0.9 else None
    row = figures(run, [s / steps for s in seconds], batch, "bfloat16", {})
    row |= {"seconds_to_90": reached, "best_knn": best["knn"], "best_epoch": best["epoch"]}
    return row | {"wall_seconds": time.perf_counter() - start, "history": history}


def moco(run):
    """A symmetric MoCo step with the same networks."""
    batch, side, encoder, head = networks(run, "bfloat16")
    queue = {"full": 65_536, "toy": 64}[run.size]
    policy, tx = augment.simclr((side, side, 3)), optimizers.sgd(0.03, momentum=0.9)
    projector = head((512, 128), batch_norm=False)
    method = methods.moco(encoder, projector, tx, augment=policy, queue_size=queue)
    return method_step(run, method, pictures(4 * batch, side), batch, "bfloat16")


def byol(run):
    """A BYOL step with the same networks."""
    batch, side, encoder, head = networks(run, "bfloat16")
    widths = {"full": (1024, 256), "toy": (16, 8)}[run.size]
    policy, tx = augment.simclr((side, side, 3)), optimizers.sgd(0.03, momentum=0.9)
    method = methods.byol(encoder, head(widths), head(widths), tx, augment=policy, total_steps=100_000)
    return method_step(run, method, pictures(4 * batch, side), batch, "bfloat16")


def next_token(run):
    """A step of a GPT of nanoGPT's size for characters, six layers of width 384 over 256 tokens."""
    sizes = {"full": (64, 256, 384, 6, 6), "toy": (4, 16, 16, 1, 2)}
    batch, context, width, depth, heads = sizes[run.size]
    network = models.Transformer(67, context, width, depth, heads, dtype=jnp.bfloat16)
    method = methods.next_token(network, optimizers.muon(optimizers.constant(3e-3, 5000)))
    x = jax.random.randint(jax.random.key(0), (16 * batch, context + 1), 2, 67)
    state = jax.jit(method.init)(jax.random.key(1), x[:batch])
    weights = sum(p.size for p in jax.tree.leaves(state.params))

    def step(state, x):
        return method.step(state, x[(state.step * batch + jnp.arange(batch)) % len(x)])

    # Six for each weight and token, and the products of attention.
    known = {"flops": 6 * batch * context * (weights + 2 * depth * context * width)}
    return timed_step(run, step, state, (x,), batch, "bfloat16", **known) | {"tokens": batch * context}


def masked_patches(run):
    """A step of a masked autoencoder on 32 x 32 pictures, its encoder a ViT-Tiny that sees a quarter of the patches."""
    sizes = {"full": (1024, 32, (4, 192, 12, 3, 4.0, 96, 2)), "toy": (8, 8, (4, 16, 1, 2, 2.0, 8, 1))}
    batch, side, fields = sizes[run.size]
    network = models.PatchAutoencoder((side, side, 3), *fields, dtype=jnp.bfloat16)
    method = methods.masked_patches(network, optimizers.adamw(optimizers.constant(1e-3, 100_000)))
    return method_step(run, method, pictures(4 * batch, side), batch, "bfloat16")


def sampling(run):
    """Tokens drawn from a cache, at the end of a context, beside the same with the whole prefix computed for each."""
    sizes = {"full": (16, 512, 384, 6, 6), "toy": (2, 16, 16, 1, 2)}
    batch, length, width, depth, heads = sizes[run.size]
    network = models.Transformer(67, length, width, depth, heads)
    tokens = jax.random.randint(jax.random.key(0), (batch, length), 2, 67)
    params = jax.jit(lambda x: network.init(jax.random.key(1), x, method="both"))(tokens)
    apply = lambda *args, **kw: network.apply(params, *args, **kw)
    cache = jax.jit(lambda x: apply(x, method="prefill"))(tokens[:, :-1])
    token, one = tokens[:, -1], lambda cache, token: (cache, apply(cache, token, method="extend").logits)
    row = timed_step(run, one, cache, (token,), batch, "float32")
    again = lambda state, tokens: (state, apply(tokens, method="both")[:, -1])
    whole = statistics.median(timed(run, lambda state: jax.jit(again)(state, tokens), ()))
    return row | {"prefix_seconds": whole, "times_prefix": whole / row["seconds_median"]}


def product(run, x, units, precision):
    """Median seconds of the matrix product of rows `[N, D]` and units `[K, D]`."""
    multiply = jax.jit(lambda x, units: jnp.matmul(x, units.T, precision=precision))
    return statistics.median(timed(run, lambda state: (state, multiply(x, units)), ()))


def beside_product(run, row, x, units):
    """A row with the matrix product it cannot be faster than, at its own precision and the default one."""
    exact = product(run, x, units, "highest")
    more = {"product_seconds": exact, "product_seconds_default": product(run, x, units, "default")}
    return row | more | {"product_share": exact / row["seconds_median"]}


def kmeans_assign(run):
    """The nearest of K centres for each of N rows: 2 N K D operations; rows are read and labels written."""
    n, d, k = {"full": (2**19, 128, 1024), "toy": (256, 8, 16)}[run.size]
    x = jax.random.normal(jax.random.key(0), (n, d))
    known = {"flops": 2 * n * k * d, "traffic": 4 * (n * d + n + k * d)}
    step = lambda state, x, centers: (state, kmeans.predict(centers, x))
    row = timed_step(run, step, (), (x, x[:k]), n, "highest", **known)
    return beside_product(run, row, x, x[:k])


def som_batch(run):
    """An epoch of the batch map: distances are 2 N K D operations, and as many are the sums by one-hot products."""
    n, d, side = {"full": (2**19, 128, 32), "toy": (256, 8, 4)}[run.size]
    k = side * side
    x = jax.random.normal(jax.random.key(0), (n, d))
    options = {"epochs": 1, "start_radius": side / 4, "end_radius": 1.0}

    def step(codebook, x):
        fitted = som.fit(jax.random.key(1), x, som.Grid(side, side), init=codebook, **options)
        return fitted.map.codebook, fitted.errors

    known = {"flops": 2 * n * k * d, "traffic": 4 * (n * d + 2 * k * d)}  # of distances alone: the least
    row = timed_step(run, step, jnp.copy(x[:k]), (x,), n, "highest", **known)
    return beside_product(run, row, x, x[:k])


def dcgan(run):
    """A step of a DCGAN, discriminator and generator."""
    batch, side, width = {"full": (128, 64, 128), "toy": (16, 8, 4)}[run.size]
    dtype, adam = "bfloat16", optax.adam(2e-4, b1=0.5)
    pair = (
        models.DCGANGenerator((side, side, 3), width, dtype=dtype),
        models.DCGANDiscriminator(width, dtype=dtype),
    )
    method = methods.gan(*pair, adam, adam)
    return method_step(run, method, pictures(4 * batch, side), batch, dtype)


def r3gan(run):
    """A step of an R3GAN with both penalties at every step."""
    full = 256, 32, {"width": (256, 256, 128, 64), "blocks": 2, "group_size": 16}
    toy = 16, 8, {"width": (8, 8), "blocks": 1, "group_size": 4}
    batch, side, options = {"full": full, "toy": toy}[run.size]
    options, adam = options | {"dtype": "bfloat16"}, optax.adam(2e-4, b1=0.0, b2=0.99)
    pair = models.R3GANGenerator((side, side, 3), **options), models.R3GANDiscriminator(**options)
    penalised = {"loss": "relativistic", "penalty": "r1_r2", "penalty_weight": 0.5}
    method = methods.gan(*pair, adam, adam, **penalised)
    return method_step(run, method, pictures(4 * batch, side), batch, "bfloat16")


def info_nce(run, batch):
    """NT-Xent of two views `[B, 128]` in tiles, and its gradient; as bytes the views and gradients alone."""
    batch, width, chunk = {"full": (batch, 128, 4096), "toy": (batch // 2**11, 8, 16)}[run.size]
    views = tuple(jax.random.normal(key, (batch, width)) for key in jax.random.split(jax.random.key(0)))

    def step(views):
        mean = lambda z1, z2: losses.nt_xent(z1, z2, chunk_size=chunk).mean()
        value, grads = jax.value_and_grad(mean, (0, 1))(*views)
        return tuple(z - 0.1 * g for z, g in zip(views, grads, strict=True)), value

    # Tiles on one side of the diagonal: half of u = 2 (2 B)^2 D forward, and three halves back.
    known = {"flops": 2 * 2 * (2 * batch) ** 2 * width, "traffic": 4 * 4 * batch * width}
    return timed_step(run, step, views, (), batch, "highest", **known) | {"chunk_size": chunk}


def autoencoder_resident(run):
    """Steps of an MLP autoencoder: many in one call on resident data, and one a call on batches sent by the host."""
    batch, side, widths, calls = {"full": (256, 28, (256, 128, 16), 200), "toy": (16, 8, (8, 4), 3)}[run.size]
    *hidden, latent = widths
    shape = (side, side, 1)
    coder = models.MLPEncoder(hidden), models.MLPDecoder(shape, hidden[::-1])
    method = methods.autoencoder(*coder, optax.adam(1e-3), latent_dim=latent)
    x = pictures(16 * batch, side, 1)
    start = lambda: jax.jit(method.init)(jax.random.key(1), unit(x[:batch]))

    def gathered(state, x):
        return method.step(state, unit(x[(state.step * batch + jnp.arange(batch)) % len(x)]))

    many = lambda state, x: jax.lax.scan(lambda state, _: gathered(state, x), state, None, length=calls)
    program, _ = compiled(many, start(), x)
    seconds = [s / calls for s in timed(run, lambda state: program(state, x), start())]
    single, counts = compiled(lambda state, x: method.step(state, unit(x)), start(), x[:batch])
    host, rng = np.asarray(x), np.random.default_rng(0)
    sent = lambda state: single(state, jax.device_put(host[rng.integers(len(host), size=batch)], run.device))
    by_step = statistics.median(timed(run, sent, start()))
    row = figures(run, seconds, batch, "float32", counts) | {"steps_per_call": calls}
    return row | {"eager_seconds": by_step, "times_eager": by_step / row["seconds_median"]}


def denoiser(run, dtype):
    """A step of a blind denoiser on random 128 x 128 squares of grey pictures; the config made large."""
    sizes = {"full": (64, 192, (96, 192, 384), 2, 128), "toy": (4, 16, (4, 8), 1, 8)}
    batch, side, features, blocks, crop = sizes[run.size]
    network = models.UNet(features, blocks, dtype=dtype)
    method = methods.denoiser(network, optimizers.muon(1e-3), crop=crop)
    return method_step(run, method, pictures(4 * batch, side, 1), batch, dtype)


def codec(run, dtype):
    """A step of the codec on random 256 x 256 squares in colour; the config made large."""
    sizes = {"full": (32, 288, 256, 2048, 96, 8), "toy": (2, 32, 16, 40, 4, 2)}
    batch, side, crop, hidden, filters, layers = sizes[run.size]
    shape = (side, side, 3)
    arguments = {"hidden": hidden, "filters": filters, "filter_layers": layers, "crop": crop}
    method = methods.codec(optax.adam(1e-3), shape=shape, **arguments)
    return method_step(run, method, pictures(4 * batch, side), batch, dtype)


ROWS = {  # in the order of their value
    "simclr_resnet18_cifar": functools.partial(simclr, dtype="bfloat16"),
    "simclr_resnet18_cifar_float32": functools.partial(simclr, dtype="float32"),
    "cifar10_knn90": cifar10_knn90,
    "moco_step": moco,
    "byol_step": byol,
    "next_token_step": next_token,
    "masked_patches_step": masked_patches,
    "sampling_512": sampling,
    "kmeans_assign": kmeans_assign,
    "som_batch": som_batch,
    "dcgan_step": dcgan,
    "r3gan_step": r3gan,
    "denoiser_step": functools.partial(denoiser, dtype="bfloat16"),
    "codec_step": functools.partial(codec, dtype="float32"),
    "info_nce_65k": functools.partial(info_nce, batch=2**16),
    "info_nce_262k": functools.partial(info_nce, batch=2**18),
    "autoencoder_resident": autoencoder_resident,
}


def outcome(row, run):
    """What a row gives, with its `status`: "measured", "skipped" with a reason, or "failed" with an error."""
    try:
        return {"status": "measured"} | row(run)
    except (Skipped, ImportError) as e:
        return {"status": "skipped", "reason": str(e)}
    except Exception as e:  # out of memory or a defect: the other rows are worth the time
        return {"status": "failed", "error": f"{type(e).__name__}: {e}"[:2000]}
    finally:
        gc.collect()


def save(path, rows):
    """Writes all rows at once: whoever reads sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    beside.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    os.replace(beside, path)


def measure(out, only=(), size="full", hours=math.inf, cifar="", force=False):
    """Measures what the file lacks, and gives its rows of this device, jax and size."""
    path, device = pathlib.Path(out), jax.devices()[0]
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    run = Run(size, device, cifar, time.monotonic() + 3600 * hours)
    about = {"device": device.device_kind, "jax": jax.__version__, "size": size}
    more = {"platform": device.platform, "platform_version": device.client.platform_version.strip()}
    more |= {"jaxlib": jaxlib.__version__}
    ours = lambda row: all(row[key] == value for key, value in about.items())
    known = {row["name"] for row in rows if ours(row) and row["status"] != "skipped" and not force}
    for name, row in ROWS.items():
        if name in known or (only and not name.startswith(tuple(only))):
            continue
        if time.monotonic() > run.deadline:
            break
        print(f"{name} ...", flush=True)
        found = {"name": name} | about | more | outcome(row, run)
        rows = [r for r in rows if any(r[key] != found[key] for key in SAME)] + [found]
        save(path, rows)
    return [row for row in rows if ours(row)]


def table(rows):
    """Lines of a table."""
    yield "| | ms | examples/s | of FLOP/s | of bytes/s | bottleneck |\n|---|---|---|---|---|---|"
    percent = lambda share: "?" if share is None else f"{share:.0%}"
    for row in rows:
        if row["status"] != "measured":
            note = row.get("reason", row.get("error", "")).partition("\n")[0][:80]
            yield f"| {row['name']} | {row['status']}: {note} |"
            continue
        shares = f"{percent(row['flops_share'])} | {percent(row['bytes_share'])} | {row['bottleneck'] or '?'}"
        spread = f"{1e3 * row['seconds_median']:.3g} ± {1e3 * row['seconds_std']:.2g}"
        yield f"| {row['name']} | {spread} | {row['examples_per_s']:,.0f} | {shares} |"


def main():
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="names, or how they begin, with commas between")
    parser.add_argument("--hours", type=float, default=math.inf)
    parser.add_argument("--size", default="full", choices=("full", "toy"))
    parser.add_argument("--out", default=str(pathlib.Path(__file__).with_suffix(".json")))
    parser.add_argument("--cifar", default="", help="an npz of CIFAR-10")
    parser.add_argument("--force", action="store_true")
    options = vars(parser.parse_args())
    only = tuple(filter(None, options.pop("only").split(",")))
    if unknown := [start for start in only if not any(name.startswith(start) for name in ROWS)]:
        parser.error(f"no row begins with {', '.join(unknown)}; there are {', '.join(ROWS)}")
    print("\n".join(table(measure(only=only, **options))))


if __name__ == "__main__":
    main()
