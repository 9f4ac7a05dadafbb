"""A character GPT on a text: ours beside nanoGPT's recipe in torch, by the CPU seconds that training takes.

    pip install -e '.[bench]' && python benchmarks/language.py TEXT [--seconds=200] [--out=docs/figures/language.png]
    python benchmarks/language.py TEXT --speed

Both have four layers of width 128 with four heads and see 64 characters; the last tenth of the text is held out.
  nanoGPT   LayerNorm, GELU, learned positions, tied logits; AdamW (0.9, 0.99), learning rate 1e-3 to 1e-4 by a cosine
            over 2,000 steps of 12 rows, weight decay 0.1, gradients clipped at 1: its configuration for CPUs, in eager
            torch or compiled (`--compile`)
  ours      `configs/next_token_chars.py`
Losses are of all held-out rows, whose seconds do not count. `--speed` times a step of both with AdamW at 12 and 64
rows, in turns: ours with the CPU as one device, or with `--devices` (as `config.cpu_devices` has it) as several.
"""

import argparse
import pathlib
import statistics
import time

import jax
import matplotlib
import numpy as np

from unsupjax import methods, models, optimizers
from unsupjax.data.kinds.tokens import fit_tokens
from unsupjax.data.tokenizers import fit
from unsupjax.parallel.mesh import make_mesh, place_batch, replicated

CONTEXT, WIDTH, DEPTH, HEADS = 64, 128, 4, 4


def split(path):
    """Rows of 65 characters of the first nine tenths and of the rest, the stream of the former, and the vocabulary."""
    text = pathlib.Path(path).read_text(encoding="utf-8")
    cut = int(0.9 * len(text))
    kind = fit_tokens(CONTEXT + 1, fit("chars", [text[:cut]], 0), "packed")
    return kind.packed([text[:cut]]), kind.packed([text[cut:]])[:-1], kind.stream([text[:cut]]), kind.size


class Ours:
    """`next_token` with our parts, ten steps a call."""

    def __init__(self, rows, size, batch=24, steps=1200, seed=0, tx=None):
        network = models.Transformer(size, CONTEXT + 1, WIDTH, DEPTH, HEADS)
        schedule = optimizers.linear(3e-3, steps, warmup=0.02)
        method = methods.next_token(network, tx or optimizers.muon(schedule, iterations=3))
        self._mesh = make_mesh()
        self._rows, self._batch, self._order = rows, batch, np.random.default_rng(seed)
        self.step_count, self.steps, self._queue = 0, steps, np.zeros(0, int)
        init = jax.jit(method.init, out_shardings=replicated(self._mesh))
        self._state = init(jax.random.key(seed), rows[:batch].astype(np.int32))
        self._run = jax.jit(lambda state, x: jax.lax.scan(method.step, state, x), donate_argnums=0)
        self._judge = jax.jit(method.token_log_prob)
        self._run = self._run.lower(self._state, self._next(10)).compile()

    def _next(self, n):
        while len(self._queue) < n * self._batch:
            self._queue = np.concatenate([self._queue, self._order.permutation(len(self._rows))])
        index, self._queue = np.split(self._queue, [n * self._batch])
        rows = self._rows[index].reshape(n, self._batch, -1).astype(np.int32)
        return place_batch(rows, self._mesh, "jit", 1)

    def train(self):
        """Ten steps."""
        self._state, _ = self._run(self._state, self._next(10))
        jax.block_until_ready(self._state)
        self.step_count += 10

    def loss(self, rows):
        """Of held-out rows, nats a character."""
        found = [
            self._judge(self._state, r)[0] for r in np.array_split(rows.astype(np.int32), len(rows) // 128)
        ]
        return -float(np.mean(np.concatenate(found)))


class Torch:
    """nanoGPT's parts and recipe."""

    def __init__(self, stream, size, batch=12, steps=2000, compiled=False):
        import torch

        torch.manual_seed(0)
        self._torch, self._net = torch, network(size)
        decayed = [p for p in self._net.parameters() if p.dim() > 1]
        rest = [p for p in self._net.parameters() if p.dim() < 2]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
        self._tx = torch.optim.AdamW(groups, 1e-3, (0.9, 0.99), fused=True)
        self._run = torch.compile(self._net) if compiled else self._net
        self._stream, self._batch, self.steps, self.step_count = (
            torch.tensor(stream.astype(np.int64)),
            batch,
            steps,
            0,
        )
        if compiled:
            self._run(self._stream[None, :CONTEXT].repeat(batch, 1)).sum().backward()

    def train(self, n=10):
        """Ten steps."""
        torch = self._torch
        for _ in range(n):
            t = self.step_count
            rate = (
                1e-3 * t / 100
                if t < 100
                else 1e-4 + 9e-4 * 0.5 * (1 + np.cos(np.pi * min(t / self.steps, 1)))
            )
            for group in self._tx.param_groups:
                group["lr"] = rate
            at = torch.randint(len(self._stream) - CONTEXT - 1, (self._batch,))
            x = torch.stack([self._stream[i : i + CONTEXT + 1] for i in at])
            logits = self._run(x[:, :-1])
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten())
            self._tx.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._net.parameters(), 1.0)
            self._tx.step()
            self.step_count += 1

    def loss(self, rows):
        """Of held-out rows, nats a character."""
        torch, x = self._torch, self._torch.tensor(rows.astype(np.int64))
        with torch.no_grad():
            parts = [
                torch.nn.functional.cross_entropy(
                    self._net(p[:, :-1]).flatten(0, 1), p[:, 1:].flatten(), reduction="sum"
                )
                for p in x.split(256)
            ]
        return float(sum(parts)) / (len(rows) * CONTEXT)


def network(size):
    """GPT-2's parts in torch."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = (nn.LayerNorm(WIDTH, bias=False) for _ in range(2))
            self.qkv, self.attended = (
                nn.Linear(WIDTH, 3 * WIDTH, bias=False),
                nn.Linear(WIDTH, WIDTH, bias=False),
            )
            self.hidden, self.output = (
                nn.Linear(WIDTH, 4 * WIDTH, bias=False),
                nn.Linear(4 * WIDTH, WIDTH, bias=False),
            )

        def forward(self, x):
            b, t, c = x.shape
            heads = (
                y.view(b, t, HEADS, c // HEADS).transpose(1, 2) for y in self.qkv(self.norm1(x)).split(c, 2)
            )
            y = nn.functional.scaled_dot_product_attention(*heads, is_causal=True)
            x = x + self.attended(y.transpose(1, 2).reshape(b, t, c))
            return x + self.output(nn.functional.gelu(self.hidden(self.norm2(x))))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.places = nn.Embedding(size, WIDTH), nn.Embedding(CONTEXT, WIDTH)
            self.blocks, self.norm = (
                nn.ModuleList(Block() for _ in range(DEPTH)),
                nn.LayerNorm(WIDTH, bias=False),
            )
            for name, p in self.named_parameters():
                deep = name.endswith(("attended.weight", "output.weight"))
                if p.dim() > 1:
                    nn.init.normal_(p, 0.0, 0.02 / (2 * DEPTH) ** 0.5 if deep else 0.02)

        def forward(self, x):
            h = self.words(x) + self.places(torch.arange(x.shape[1]))[None]
            for block in self.blocks:
                h = block(h)
            return self.norm(h) @ self.words.weight.T

    return GPT()


def curve(contestant, rows, seconds, every=10.0):
    """(CPU seconds, steps, loss) about every so many CPU seconds of training, until its steps or the seconds end."""
    spent, found, due = 0.0, [], 0.0
    while contestant.step_count < contestant.steps and spent < seconds:
        begin = time.process_time()
        contestant.train()
        spent += time.process_time() - begin
        if spent >= due:
            found.append((spent, contestant.step_count, contestant.loss(rows)))
            due += every
    found.append((spent, contestant.step_count, contestant.loss(rows)))
    return found


def draw(curves, path):
    """The figure."""
    matplotlib.use("agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained", dpi=150)
    ax = figure.subplots()
    for name, found in curves.items():
        seconds, _, losses = zip(*found, strict=True)
        ax.plot(seconds, losses, marker=".", label=name)
    ax.set(xlabel="CPU seconds of training", ylabel="held-out loss, nats a character", ylim=(1.4, 2.8))
    ax.grid(alpha=0.25)
    ax.legend(frameon=False)
    figure.savefig(path)


def speed(rows, stream, size, rounds=7):
    """Milliseconds a step, medians over rounds in turns."""
    for batch in (12, 64):
        steps = 10**6
        made = {
            f"ours, {jax.device_count()} devices": Ours(
                rows, size, batch, steps, tx=optimizers.adamw(lambda _: 1e-3)
            ),
            "torch, eager": Torch(stream, size, batch, steps),
            "torch, compiled": Torch(stream, size, batch, steps, compiled=True),
        }
        times = {name: [] for name in made}
        for round_ in range(rounds + 1):
            for name, contestant in made.items():
                begin = time.perf_counter()
                contestant.train()
                if round_:
                    times[name].append((time.perf_counter() - begin) / 10)
        medians = {name: 1e3 * statistics.median(t) for name, t in times.items()}
        for name, ms in medians.items():
            print(
                f"| {batch} | {name} | {ms:.1f} ms | {medians['torch, eager'] / ms:.2f} of eager |",
                flush=True,
            )


def main():
    """Trains or times, and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("text")
    parser.add_argument("--seconds", type=float, default=200.0, help="CPU seconds of training, of each")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--steps", type=int, default=1200, help="of ours, over which its learning rate falls")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="ours or nanoGPT")
    parser.add_argument("--out", default="")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--devices", type=int, default=1, help="into which the CPU is divided")
    options = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", options.devices)
    train, test, stream, size = split(options.text)
    if options.speed:
        speed(train, stream, size)
        return
    contestants = {
        "ours": lambda: Ours(train, size, options.batch, options.steps, options.seed),
        "nanoGPT": lambda: Torch(stream, size),
    }
    curves = {}
    for name, make in contestants.items():
        if options.only in ("", name):
            curves[name] = curve(make(), test, options.seconds)
            for seconds, steps, loss in curves[name]:
                print(f"{name}: {seconds:.0f} CPU s, {steps} steps, held-out loss {loss:.4f}", flush=True)
    if options.out:
        draw(curves, options.out)


if __name__ == "__main__":
    main()
