"""Transformers over tokens: causal or both ways, whole sequences or a token at a time from a cache."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

NORMS = ("rms", "layer")
MLPS = ("relu2", "gelu", "gelu_exact", "swiglu")
POSITIONS = ("rope", "learned")
XAVIER = nn.initializers.xavier_uniform()
EACH_OF_THREE = nn.initializers.lecun_uniform()  # Xavier's bound of a square matrix, for three side by side


class Cache(NamedTuple):
    """Keys and values of the tokens so far.

    Attributes:
        k, v: `[depth, B, L, heads, D]`.
        length: places that are taken, int32 scalar.
        start: the place of the first token of each row, int32 `[B]`; those before it are padding.
        logits: of the token that comes next, float32 `[B, V]`.
    """

    k: jax.Array
    v: jax.Array
    length: jax.Array
    start: jax.Array
    logits: jax.Array


class RMSNorm(nn.Module):
    r""":math:`\gamma x / \sqrt{\mathrm{mean}(x^2) + \epsilon}`, computed in float32.

    The mean is a product with ones: on a CPU, matrix products run on all cores and reductions on one.
    """

    epsilon: float = 1e-6
    scale: bool = True
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        wide = x.astype(jnp.float32)
        mean = (wide * wide) @ jnp.full((width, 1), 1 / width, jnp.float32)
        y = wide * jax.lax.rsqrt(mean + self.epsilon)
        if self.scale:
            scale = self.param("scale", nn.initializers.ones, (width,))
            y = y * jnp.expand_dims(scale, tuple(range(x.ndim - 1)))
        return y.astype(self.dtype or x.dtype)


def rope(x: jax.Array, positions: jax.Array, base: float = 10_000.0) -> jax.Array:
    r"""Rotary positions: pairs :math:`(x_i, x_{i + D/2})` turned by the angle :math:`p \cdot base^{-2i/D}`.

    Args:
        x: queries or keys `[B, T, heads, D]`.
        positions: p, absolute, `[T]`, or `[B, T]` of each row its own.
        base: of the slowest turn.

    Source: Su et al., "RoFormer", 2021; the halves as in GPT-NeoX.
    """
    half = x.shape[-1] // 2
    slower = base ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angles = jnp.atleast_2d(positions)[..., None] * slower[None, None]
    cos, sin = (f(angles)[:, :, None].astype(x.dtype) for f in (jnp.cos, jnp.sin))
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


class Block(nn.Module):
    """Attention, then a perceptron, each of the normalised tokens and added to them; fields as of `Transformer`.

    Attributes:
        hidden: features of the perceptron.
        positions: "rope", or any other name: the tokens have theirs already.
        start: of the kernels: "normal" (0.02), "zero" (likewise, and the block is the identity), or "xavier".
        norms: the names of the two norms' parameters.
    """

    heads: int
    hidden: int
    norm: str = "layer"
    mlp: str = "gelu_exact"
    positions: str = ""
    qk_norm: bool = False
    bias: bool = True
    dropout: float = 0.0
    dtype: jnp.dtype | None = None
    epsilon: float = 1e-6
    post_norm: bool = False
    start: str = "normal"
    norms: tuple[str, str] = ("norm1", "norm2")

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        at: jax.Array | None = None,
        mask: jax.Array | None = None,
        causal: bool = False,
        held=None,
        train: bool = False,
    ):
        """Tokens `[B, T, width]` and their keys and values, or with `held` the renewed ones.

        Args:
            x: tokens `[B, T, width]`.
            at: their positions, `[T]` or `[B, T]`, where these are rotary.
            mask: which keys a query sees, bool `[B or 1, 1, T or 1, keys]`.
            causal: no query sees a key after it.
            held: keys and values of all places `[B, L, heads, D]`, and the place of the one token that is in `x`.
            train: with dropout.
        """
        first, second = (make_norm(self.norm, self.epsilon, self.dtype, name) for name in self.norms)
        drop = nn.Dropout(self.dropout, deterministic=not train)
        y, held = self._attended(x if self.post_norm else first(x), at, mask, causal, held)
        x = x + drop(y)
        x = first(x) if self.post_norm else x
        x = x + drop(self._mlp(x if self.post_norm else second(x)))
        return (second(x) if self.post_norm else x), held

    def _attended(self, x: jax.Array, at, mask, causal: bool, held):
        batch, tokens, width = x.shape
        q, k, v = jnp.unstack(
            self._dense(3 * width, "qkv")(x).reshape(batch, tokens, 3, self.heads, -1), axis=2
        )
        if self.qk_norm:
            q, k = (RMSNorm(scale=False, dtype=self.dtype)(y) for y in (q, k))
        if self.positions == "rope":
            q, k = rope(q, at), rope(k, at)
        if held is not None:
            *old, place = held
            k, v = (
                jax.lax.dynamic_update_slice_in_dim(all, new, place, 1)
                for all, new in zip(old, (k, v), strict=True)
            )
        y = jax.nn.dot_product_attention(q, k, v, mask=mask, is_causal=causal)
        return self._dense(width, "attended")(y.reshape(x.shape)), (k, v)

    def _mlp(self, x: jax.Array) -> jax.Array:
        y = self._dense(self.hidden, "hidden")(x)
        if self.mlp == "swiglu":
            y = nn.silu(self._dense(self.hidden, "gate")(x)) * y
        elif self.mlp == "relu2":
            y = jnp.square(nn.relu(y))
        else:
            y = nn.gelu(y, approximate=self.mlp == "gelu")
        return self._dense(x.shape[-1], "output")(y)

    def _dense(self, features: int, name: str) -> nn.Dense:
        start = nn.initializers.normal(0.02)
        if self.start == "xavier":
            start = EACH_OF_THREE if name == "qkv" else XAVIER
        elif self.start == "zero" and name in ("attended", "output"):
            start = nn.initializers.zeros
        return nn.Dense(features, self.bias, dtype=self.dtype, kernel_init=start, name=name)


def make_norm(norm: str, epsilon: float, dtype: jnp.dtype | None, name: str | None = None) -> nn.Module:
    """The norm called "rms" or "layer"."""
    kind = RMSNorm if norm == "rms" else nn.LayerNorm
    return kind(epsilon=epsilon, dtype=dtype, name=name)


class Transformer(nn.Module):
    """Tokens to hidden states, and these to logits over the vocabulary.

    Attributes:
        vocabulary: V.
        length: L, the most tokens of a sequence.
        width: features of a token.
        depth: number of blocks.
        heads: attention heads; they divide `width`.
        mlp_ratio: hidden features of a block's perceptron, as a multiple of `width`.
        causal: a token sees none after it.
        positions: "rope" or "learned".
        norm: "rms" or "layer".
        mlp: "relu2", "gelu" (its tanh form), "gelu_exact" or "swiglu".
        qk_norm: queries and keys have norm 1 times the root of their width.
        zero_init: every block starts as the identity, and the logits at 0.
        tied: logits are products with the embeddings.
        bias: of the dense layers.
        dropout: of embeddings, attended values and perceptrons, in training.
        remat: blocks are computed again in the backward pass, and take no memory between.
        dtype: compute dtype; parameters, norms, attention weights and logits are float32.
        epsilon: of the norms.
        post_norm: norms come after each sum and not before each part; the embeddings have one, and the end has none.
        transform: before logits, hidden states pass a dense layer, GELU and a norm, and logits get a bias, as BERT's.

    Source: Vaswani et al., "Attention is all you need", 2017; pre-norm as Radford et al., "Language models are
    unsupervised multitask learners", 2019; post-norm as Devlin et al., "BERT", NAACL 2019; ReLU^2: So et al.,
    "Primer", 2021.
    """

    vocabulary: int
    length: int
    width: int = 128
    depth: int = 4
    heads: int = 4
    mlp_ratio: float = 4.0
    causal: bool = True
    positions: str = "rope"
    norm: str = "rms"
    mlp: str = "relu2"
    qk_norm: bool = True
    zero_init: bool = True
    tied: bool = False
    bias: bool = False
    dropout: float = 0.0
    remat: bool = False
    dtype: jnp.dtype | None = None
    epsilon: float = 1e-6
    post_norm: bool = False
    transform: bool = False

    def setup(self):
        """The layers."""
        self._check()
        start = nn.initializers.normal(0.02)
        self.drop = nn.Dropout(self.dropout)
        self.embed = nn.Embed(self.vocabulary, self.width, dtype=self.dtype, embedding_init=start)
        if self.positions == "learned":
            self.places = self.param("places", start, (self.length, self.width))
        block = nn.remat(Block, static_argnums=(4, 6)) if self.remat else Block
        shared = (
            "heads",
            "norm",
            "mlp",
            "positions",
            "qk_norm",
            "bias",
            "dropout",
            "dtype",
            "epsilon",
            "post_norm",
        )
        fields = {name: getattr(self, name) for name in shared}
        fields |= {
            "hidden": round(self.mlp_ratio * self.width),
            "start": "zero" if self.zero_init else "normal",
        }
        self.blocks = [block(**fields, name=f"block{i}") for i in range(self.depth)]
        if self.post_norm:
            self.first = make_norm(self.norm, self.epsilon, self.dtype)
        else:
            self.last = make_norm(self.norm, self.epsilon, None)
        if self.transform:
            self.turn = nn.Dense(self.width, dtype=self.dtype, kernel_init=start)
            self.turned = make_norm(self.norm, self.epsilon, self.dtype)
            self.shift = self.param("shift", nn.initializers.zeros, (self.vocabulary,))
        if not self.tied:
            zero = nn.initializers.zeros if self.zero_init else start
            self.head = nn.Dense(self.vocabulary, use_bias=False, dtype=self.dtype, kernel_init=zero)

    def _check(self) -> None:
        for name, known in (("norm", NORMS), ("mlp", MLPS), ("positions", POSITIONS)):
            if getattr(self, name) not in known:
                raise ValueError(f"unknown {name} {getattr(self, name)!r}; one of {', '.join(known)}")
        even = self.positions != "rope" or (self.width // self.heads) % 2 == 0
        if self.width % self.heads or not even:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width} into even parts")

    def __call__(
        self,
        tokens: jax.Array,
        segments: jax.Array | None = None,
        train: bool = False,
        first: jax.Array | None = None,
    ) -> jax.Array:
        """Hidden states.

        Args:
            tokens: int32 `[B, T]`, T at most L.
            segments: int32 `[B, T]`: a token sees those of its own segment alone; None: all are of one.
            train: with dropout.
            first: what stands in place of the embedding of each row's first token, `[B, width]`.

        Returns:
            float32 `[B, T, width]`.
        """
        mask = None if segments is None else (segments[:, None, :, None] == segments[:, None, None, :])
        at = jnp.arange(tokens.shape[1])[None]
        x = self._embedded(tokens, at, train, first)
        for block in self.blocks:
            x, _ = block(x, at, mask, self.causal, None, train)
        return self._final(x)

    def _embedded(self, tokens: jax.Array, at: jax.Array, train: bool = False, first=None) -> jax.Array:
        x = self.embed(tokens)
        x = x if first is None else x.at[:, 0].set(first.astype(x.dtype))
        if self.positions == "learned":
            x = x + self.places[at].astype(x.dtype)
        x = self.first(x) if self.post_norm else x
        return self.drop(x, deterministic=not train)

    def _final(self, x: jax.Array) -> jax.Array:
        x = x.astype(jnp.float32)
        return x if self.post_norm else self.last(x)

    def logits(self, hidden: jax.Array) -> jax.Array:
        """Of hidden states `[..., width]`, float32 `[..., V]`."""
        if self.transform:
            hidden = self.turned(nn.gelu(self.turn(hidden), approximate=self.mlp == "gelu"))
        made = self.embed.attend(hidden) if self.tied else self.head(hidden)
        made = made.astype(jnp.float32)
        return made + jnp.expand_dims(self.shift, range(made.ndim - 1)) if self.transform else made

    def both(self, tokens: jax.Array, *args, **options) -> jax.Array:
        """Logits of every token, `[B, T, V]`; arguments as of a call."""
        return self.logits(self(tokens, *args, **options))

    def prefill(self, tokens: jax.Array, lengths: jax.Array | None = None) -> Cache:
        """A cache that holds the first tokens.

        Args:
            tokens: int32 `[B, T]`, T from 1 to L. Rows of fewer tokens have theirs at the end: what stands before
                them is padding, which no token sees, and whose places do not count as positions.
            lengths: how many tokens of each row are none of padding, int32 `[B]`, from 1 to T; None: all.
        """
        batch, n = tokens.shape
        start = jnp.zeros(batch, jnp.int32) if lengths is None else (n - lengths).astype(jnp.int32)
        place = jnp.arange(n)[None]
        at = jnp.maximum(place - start[:, None], 0)
        mask = None if lengths is None else (place >= start[:, None])[:, None, None]
        x, held = self._embedded(tokens, at), []
        for block in self.blocks:
            x, pair = block(x, at, mask, True, None, False)
            held.append([jnp.pad(y, ((0, 0), (0, self.length - n), (0, 0), (0, 0))) for y in pair])
        k, v = (jnp.stack(part) for part in zip(*held, strict=True))
        return Cache(k, v, jnp.asarray(n, jnp.int32), start, self.logits(self._final(x[:, -1])))

    def extend(self, cache: Cache, token: jax.Array) -> Cache:
        """The cache after one token more of each row, int32 `[B]`, at the place `cache.length`."""
        place, start = jnp.arange(self.length)[None], cache.start[:, None]
        mask = ((place >= start) & (place <= cache.length))[:, None, None]
        at = cache.length - start
        x, held = self._embedded(token[:, None], at), []
        for block, k, v in zip(self.blocks, cache.k, cache.v, strict=True):
            x, pair = block(x, at, mask, False, (k, v, cache.length), False)
            held.append(pair)
        k, v = (jnp.stack(part) for part in zip(*held, strict=True))
        return Cache(k, v, cache.length + 1, cache.start, self.logits(self._final(x[:, 0])))


def drawn(logits: jax.Array, key: jax.Array, temperature: float, top_k: int, top_p: float) -> jax.Array:
    """A token for each row of logits `[B, V]`, int32 `[B]`.

    Args:
        logits: of the next token.
        key: typed PRNG key.
        temperature: that logits are divided by; 0: the likeliest.
        top_k: of that many likeliest ones; 0: of all.
        top_p: of the fewest likeliest ones that together have this probability; 1: of all.
    """
    if temperature == 0:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    logits = logits / temperature
    if top_k and top_k < logits.shape[-1]:
        least = jax.lax.top_k(logits, top_k)[0][:, -1:]
        logits = jnp.where(logits < least, -jnp.inf, logits)
    if top_p < 1:
        ordered = jnp.sort(logits, axis=-1)[:, ::-1]
        before = jnp.cumsum(jax.nn.softmax(ordered), axis=-1) - jax.nn.softmax(ordered)
        least = jnp.min(jnp.where(before < top_p, ordered, jnp.inf), axis=-1, keepdims=True)
        logits = jnp.where(logits < least, -jnp.inf, logits)
    return jax.random.categorical(key, logits).astype(jnp.int32)


def transformer(
    *,
    vocabulary: int,
    context: int,
    width: int = 128,
    depth: int = 4,
    heads: int = 4,
    mlp_ratio: float = 4.0,
    positions: str = "rope",
    norm: str = "rms",
    mlp: str = "relu2",
    qk_norm: bool = True,
    zero_init: bool = True,
    tied: bool = False,
    bias: bool = False,
    dropout: float = 0.0,
    remat: bool = False,
    epsilon: float = 1e-6,
    post_norm: bool = False,
    transform: bool = False,
    dtype: jnp.dtype | None = None,
) -> Transformer:
    """A `Transformer` over `vocabulary` tokens and at most `context` of them; its method says whether it is causal.

    Args:
        vocabulary: number of tokens.
        context: the most tokens of a sequence.
        width: features of a token.
        depth: number of blocks.
        heads: attention heads; they divide `width` into even parts.
        mlp_ratio: hidden features of a block's perceptron, as a multiple of `width`.
        positions: "rope" or "learned".
        norm: "rms" or "layer".
        mlp: "relu2", "gelu" (its tanh form), "gelu_exact" or "swiglu".
        qk_norm: queries and keys are normalised.
        zero_init: every block starts as the identity, and the logits at 0.
        tied: logits are products with the embeddings.
        bias: of the dense layers.
        dropout: in training.
        remat: blocks are computed again in the backward pass, and take no memory between.
        epsilon: of the norms.
        post_norm: norms come after each sum, as BERT has them, and not before each part.
        transform: logits are of hidden states that pass a dense layer, GELU and a norm, as BERT's, and have a bias.
        dtype: compute dtype.
    """
    return Transformer(
        vocabulary, context, width, depth, heads, mlp_ratio, True, positions, norm, mlp, qk_norm, zero_init,
        tied, bias, dropout, remat, dtype, epsilon, post_norm, transform,
    )  # fmt: skip
