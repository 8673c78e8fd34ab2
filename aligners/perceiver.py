"""A perceiver resampler: learned queries read any number of features; Flamingo's and its heirs'.

Does not know where features come from; time enters through `Features.steps` only.

Shapes: M media items, F features per item, Q soft tokens (queries) per item, H heads,
D_enc encoder width, D hidden width, D_llm width of the language model's embeddings.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from aligners.attention import ReadLayer
from aligners.base import real_values, start_at_rms
from aligners.layers import NORMS, Activation, Norm, Start, check_at_least, check_known
from aligners.limits import AlignerError
from aligners.positions import places_of, side_of_square, waves_2d
from encoders.base import Features

Positions = Literal["none", "sincos2d"]


class Perceiver(nn.Module):
    """Queries attend to features and to themselves, layer by layer (Flamingo, section 2.1).

    The resamplers of Flamingo, OpenFlamingo, Idefics, Idefics2, Kosmos-2 and Qwen-VL are settings
    of it; docs/recipes.md has them as a table.

    Args:
        encoder_dim: D_enc.
        llm_dim: D_llm.
        embedding_rms: How large soft tokens are at first, with `start: rms`.
        num_tokens: Q.
        depth: Layers.
        num_heads: H.
        head_dim: Width of a head; `H * head_dim` need not be D.
        hidden_dim: D; `llm` takes D_llm, None the encoder's width, with no layer in front.
        mult: Width of the feed-forward layer over D; 0 leaves it out.
        num_steps: Times that have an embedding of their own, later ones sharing the last; 0 for
            none.
        activation: Of the feed-forward layer.
        attends_itself: Whether queries read each other beside the features.
        norm: In front of attention and feed-forward, and at the end.
        residual: Whether a layer adds to its queries or replaces them.
        bias: Of the layers' linear maps.
        positions: Whether queries, as a square, and keys tell where they stand in the picture.
        key_heads: Heads of keys and values, each for several of the queries'; None takes H.
        normalise_heads: Put a norm on each head of queries and keys.
        project_out: End with a linear map to D_llm; without it D is D_llm.
        start: Scale the output so that soft tokens start as large as words, or leave it `plain`.

    Raises:
        AlignerError: A size does not fit, or a name is unknown.
    """

    scale: Tensor
    query_places: Tensor | None

    def __init__(
        self,
        *,
        encoder_dim: int,
        llm_dim: int,
        embedding_rms: float,
        num_tokens: int = 64,
        depth: int = 6,
        num_heads: int = 8,
        head_dim: int = 64,
        hidden_dim: int | Literal["llm"] | None = None,
        mult: int = 4,
        num_steps: int = 0,
        activation: Activation = "gelu",
        attends_itself: bool = True,
        norm: Norm = "layer",
        residual: bool = True,
        bias: bool = False,
        positions: Positions = "none",
        key_heads: int | None = None,
        normalise_heads: bool = False,
        project_out: bool = True,
        start: Start = "rms",
    ) -> None:
        super().__init__()
        given = llm_dim if hidden_dim == "llm" else hidden_dim
        if isinstance(given, str):
            raise AlignerError(f"hidden_dim is {given!r}; it is a number, llm or null")
        dim = encoder_dim if given is None else given
        check_at_least(1, depth=depth, num_heads=num_heads, head_dim=head_dim)
        check_at_least(1, hidden_dim=dim)
        check_at_least(0, num_steps=num_steps, mult=mult)
        check_known("positions", positions, get_args(Positions))
        check_known("start", start, get_args(Start))
        if not project_out and dim != llm_dim:
            raise AlignerError(
                f"project_out: false gives soft tokens of width {dim}, and {llm_dim} are read; "
                "set hidden_dim: llm"
            )
        self.num_tokens = num_tokens
        self.project_in = nn.Identity() if hidden_dim is None else nn.Linear(encoder_dim, dim)
        self.time = nn.Embedding(num_steps, dim) if num_steps else None
        self.queries = nn.Parameter(torch.randn(num_tokens, dim))
        self.positions = positions
        waves = None if positions == "none" else waves_2d(side_of_square(num_tokens), dim)
        self.register_buffer("query_places", waves, persistent=False)
        self.attends_itself = attends_itself
        self.layers = nn.ModuleList(
            ReadLayer(
                dim,
                num_heads=num_heads,
                head_dim=head_dim,
                key_heads=key_heads,
                mult=mult,
                activation=activation,
                norm=norm,
                bias=bias,
                residual=residual,
                attends_itself=attends_itself,
                normalise_heads=normalise_heads,
            )
            for _ in range(depth)
        )
        self.norm = NORMS[norm](dim)
        self.project_out: nn.Module = nn.Identity()
        if project_out:
            linear = self.project_out = nn.Linear(dim, llm_dim)
            nn.init.normal_(linear.weight, std=dim**-0.5)
            nn.init.zeros_(linear.bias)
        if self.time is not None:
            # About as large as the features, or else queries learn late to tell times apart.
            nn.init.normal_(self.time.weight, std=0.5)
        self.register_buffer("scale", torch.ones(()))
        if start == "rms":
            start_at_rms(
                self,
                self.scale,
                num_features=num_tokens,
                encoder_dim=encoder_dim,
                rms=embedding_rms,
            )

    def forward(self, features: Features) -> Tensor:
        """Resample features to soft tokens.

        Args:
            features: `[M, F, D_enc]`; outside the mask they change nothing.

        Returns:
            Soft tokens `[M, Q, D_llm]` float32.

        Raises:
            AlignerError: With `positions`, features stand in no rows.
        """
        soft_tokens: Tensor = self.project_out(self.resample(features)) * self.scale
        return soft_tokens.float()

    def resample(self, features: Features) -> Tensor:
        """The queries after the last layer and its norm, `[M, Q, D]`, before the projection."""
        context = self.project_in(real_values(features))  # [M, F, D]
        if self.time is not None:
            steps = features.steps.clamp(0, self.time.num_embeddings - 1)
            context = context + self.time(steps)
        queries = self.queries.expand(context.shape[0], -1, -1)  # [M, Q, D]
        mask, waves, places = features.mask, self.query_places, None
        if waves is not None:
            places = places_of(waves, features.layouts, mask)
        if self.attends_itself:
            own = mask.new_ones(queries.shape[:2])
            mask = torch.cat([mask, own], dim=1)
            if waves is not None and places is not None:
                places = torch.cat([places, waves.expand(len(places), -1, -1)], dim=1)
        for layer in self.layers:
            queries = layer(
                queries,
                context,
                mask[:, None, None, :],  # [M, 1, 1, keys]
                query_places=waves,
                key_places=places,
            )
        normed: Tensor = self.norm(queries)
        return normed
