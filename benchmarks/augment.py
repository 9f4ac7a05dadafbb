"""Two SimCLR views of CIFAR-sized images: ours beside kornia, batched, and lightly's transforms, image by image.

    pip install -e '.[bench]' && python benchmarks/augment.py [--data=cifar10.npz] [--rounds=7]

One policy, that of SimCLR for CIFAR-10: crop (area 0.08 to 1, bilinear, antialiased), flip, jitter with probability 0.8
(0.4, 0.4, 0.4, 0.1), greyscale with probability 0.2; no blur. uint8 images in, floats in [0, 1] out. kornia draws one
order of the jitter for a whole batch, lightly and we one for each image. lightly runs in this process, and in as many
DataLoader workers as there are cores (after the others; its processor time is not ours to see). The rest alternate in
rounds on the same batches and the table holds medians.
The second table is the time of ours with and without its parts. "core ms" is processor time of this process, which a
busy machine disturbs less than "ms" on the clock; who is not installed is left out.
"""

import argparse
import importlib.util
import os
import platform
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax import augment

BATCH = 512
COLOUR = (0.4, 0.4, 0.4, 0.1)


def images(path):
    """uint8 `[N, 32, 32, 3]`: the first such array of an .npz file, or noise."""
    if not path:
        return np.random.default_rng(0).integers(0, 256, (50_000, 32, 32, 3), dtype=np.uint8)
    with np.load(path) as file:
        for name in file.files:
            if file[name].dtype == np.uint8 and file[name].ndim == 4 and file[name].shape[-1] == 3:
                return file[name]
    raise ValueError(f"{path} holds no uint8 array [N, H, W, 3]")


def ours(shape, **options):
    """`batch -> two views` compiled, a new key each time."""
    two_views = augment.simclr(shape, **options)

    @jax.jit
    def run(key, x):
        return jax.vmap(two_views)(jax.random.split(key, len(x)), x.astype(jnp.float32) / 255)

    step = 0

    def views(x):
        nonlocal step
        step += 1
        return jax.block_until_ready(run(jax.random.key(step), x))

    return views


def kornia(shape):
    """The batched transforms of kornia."""
    import kornia.augmentation as K
    import torch

    view = torch.nn.Sequential(
        K.RandomResizedCrop(shape[:2], scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), cropping_mode="slice"),
        K.RandomHorizontalFlip(p=0.5),
        K.ColorJitter(*COLOUR, p=0.8),
        K.RandomGrayscale(p=0.2),
    )

    def views(x):
        x = torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255
        return view(x), view(x)

    return views


def lightly_transform(shape):
    """lightly's SimCLR transform of one image of Pillow's."""
    from lightly.transforms import SimCLRTransform

    return SimCLRTransform(input_size=shape[0], cj_strength=0.5, gaussian_blur=0.0, normalize=None)


def lightly(shape):
    """Image by image in this process."""
    import torch
    from PIL import Image

    transform = lightly_transform(shape)

    def views(x):
        pairs = [transform(Image.fromarray(image)) for image in x]
        return tuple(torch.stack(view) for view in zip(*pairs, strict=True))

    return views


class Transformed:
    """A data set for DataLoader: the views of `data[i]`."""

    def __init__(self, data):
        self.data, self.transform = data, lightly_transform(data.shape[1:])

    def __len__(self):
        return len(self.data)

    def __getitem__(self, i):
        from PIL import Image

        return self.transform(Image.fromarray(self.data[i]))


def lightly_workers(data, first=12, last=60):
    """Seconds a batch of a DataLoader with a worker for each core, once what was prefetched is used up."""
    from torch.utils.data import DataLoader

    options = {"num_workers": os.cpu_count(), "multiprocessing_context": "spawn"}
    loader = DataLoader(Transformed(data), BATCH, shuffle=True, drop_last=True, **options)
    for i, _ in enumerate(loader):
        if i == first:
            begin = time.perf_counter()
        if i == last:
            return (time.perf_counter() - begin) / (last - first)
    raise ValueError(f"{len(data)} images are too few: {(last + 1) * BATCH} are needed")


def timed(contestants, data, rounds, repeats=10):
    """Median seconds a batch and processor seconds of each contestant, alternating in rounds.

    Each turn begins with two calls that are not timed: threads that wake from sleep may share a core at first.
    """
    wall, core = ({name: [] for name in contestants} for _ in range(2))
    rng = np.random.default_rng(0)
    for views in contestants.values():
        views(data[:BATCH])
        views(data[:BATCH])
    for _ in range(rounds):
        batches = [data[np.sort(rng.choice(len(data), BATCH, replace=False))] for _ in range(repeats)]
        for name, views in contestants.items():
            time.sleep(0.2)  # until the threads of the one before have gone to sleep
            views(batches[0])
            views(batches[0])
            begin, cpu = time.perf_counter(), time.process_time()
            for x in batches:
                views(x)
            wall[name].append((time.perf_counter() - begin) / repeats)
            core[name].append((time.process_time() - cpu) / repeats)
    return {name: (statistics.median(wall[name]), statistics.median(core[name])) for name in contestants}


def table(results):
    """Rows with the ratio to the first."""
    first = next(iter(results.values()))[0]
    print("| two views of 512 images | images/s | ms | core ms | x ours |\n|---|---|---|---|---|")
    for name, (wall, core) in results.items():
        print(f"| {name} | {BATCH / wall:,.0f} | {1e3 * wall:.1f} | {1e3 * core:.1f} | {wall / first:.1f} |")


def main():
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="", help=".npz with uint8 images; without it, noise")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    data = images(arguments.data)
    shape = data.shape[1:]
    print(f"jax {jax.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores,", end=" ")
    print(f"{jax.devices()[0].device_kind}, median of {arguments.rounds} rounds\n")

    contestants = {"ours, bilinear": ours(shape), "ours, bicubic": ours(shape, method="bicubic")}
    there = {name for name in ("kornia", "lightly") if importlib.util.find_spec(name)}
    if "kornia" in there:
        contestants["kornia, batched"] = kornia(shape)
    if "lightly" in there:
        contestants["lightly, one process"] = lightly(shape)
    results = timed(contestants, data, arguments.rounds)
    if "lightly" in there:
        results["lightly, a worker a core"] = lightly_workers(data), float("nan")
    table(results)

    plain = {"jitter": 0.0, "grey": 0.0}
    parts = {
        "everything": ours(shape),
        "with blur 0.5": ours(shape, blur=0.5),
        "crop and flip": ours(shape, **plain),
        "crop and flip, bicubic": ours(shape, method="bicubic", **plain),
        "crop, flip and greyscale": ours(shape, jitter=0.0),
        "crop, flip and jitter": ours(shape, grey=0.0),
        "crop, flip and jitter without hue": ours(shape, grey=0.0, hue=0.0),
        "crop, flip and blur 0.5": ours(shape, blur=0.5, **plain),
    }
    print()
    table(timed(parts, data, arguments.rounds))


if __name__ == "__main__":
    main()
