"""Every piece with a member axis against torch's own modules, with the same weights; and modules as modules."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from training import busy, close, draw, member

from emo_ssl.core.model import (
    EPS,
    Block,
    Classifier,
    Encoder,
    EncoderConfig,
    Head,
    HeadConfig,
    Linear,
    MaskedAutoencoder,
    depth_of,
    initialise,
    load_members,
    member_state,
    pool,
    rotary,
    rotate,
    to_tokens,
)

M, B, L, W, HEADS, S = 2, 3, 9, 16, 4, 10
KINDS = ("transformer", "gru")
HEAD = HeadConfig((0, 1, 2, 3), emotions=2, categories=3)


def config(kind: str = "transformer", **more) -> EncoderConfig:
    return EncoderConfig(**{"features": 5, "kind": kind, "stack": 2, "width": W, "layers": 2, "heads": HEADS, **more})


def encoder(kind: str = "transformer", members: int = 1, **more) -> Encoder:
    return busy(initialise(Encoder(config(kind, **more), members), range(members)))


def ragged(lengths: list[int]) -> torch.Tensor:
    """valid (B, max)."""
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def everything(*shape: int) -> torch.Tensor:
    return torch.ones(shape, dtype=torch.bool)


def plain_linear(ours: Linear, m: int) -> nn.Linear:
    plain = nn.Linear(*ours.weight.shape[1:])
    plain.weight.data, plain.bias.data = ours.weight[m].detach().T, ours.bias[m].detach()
    return plain


# --- tokens


def test_frames_become_tokens_by_hand():
    frames = torch.tensor([[[1.0, 2], [3, math.nan], [5, 6], [9, 9], [9, 9]]])
    tokens, real = to_tokens(frames, ragged([3, 5])[:1], 2)
    assert tokens.tolist() == [[[1, 2, 3, 0], [5, 6, 0, 0], [0, 0, 0, 0]]]
    assert real.tolist() == [[True, True, False]]  # a token of padding alone does not count


@pytest.mark.parametrize(("frames", "stack"), [(0, 2), (1, 1), (1, 5), (7, 2)])
def test_any_number_of_frames(frames, stack):
    x = draw(2, 3, frames, 4)
    tokens, real = to_tokens(x, everything(2, 3, frames), stack)
    count = math.ceil(frames / stack)
    assert tokens.shape == (2, 3, count, stack * 4) and real.shape == (2, 3, count) and real.all()
    flat = tokens.reshape(2, 3, count * stack, 4)
    assert torch.equal(flat[:, :, :frames], x) and not flat[:, :, frames:].any()


# --- layers


@pytest.mark.parametrize("lengths", [None, [9, 4, 1]])
def test_a_block_without_positions_is_that_of_torch(lengths):
    block, x = busy(Block(config(), M)), draw(M, B, L, W)
    valid = everything(B, L) if lengths is None else ragged(lengths)
    positions = torch.ones(L, W // HEADS // 2), torch.zeros(L, W // HEADS // 2)
    out = block(x, None if lengths is None else valid.expand(M, B, L), positions)
    attention, feed = block.attention, block.feedforward
    for m in range(M):
        plain = nn.TransformerEncoderLayer(W, HEADS, 4 * W, 0.0, "gelu", batch_first=True, norm_first=True)
        qkv = plain_linear(attention.qkv, m)
        plain.self_attn.in_proj_weight, plain.self_attn.in_proj_bias = qkv.weight, qkv.bias
        plain.self_attn.out_proj = plain_linear(attention.out, m)
        plain.linear1, plain.linear2 = plain_linear(feed.up, m), plain_linear(feed.down, m)
        # in training mode, since the quick path of eval() treats padding in its own way
        assert close(out[m][valid], plain(x[m], src_key_padding_mask=~valid)[valid])


def test_rotation_is_a_complex_product():
    cos, sin = rotary(L, 8, torch.device("cpu"))
    x = draw(B, L, 8)
    rates = torch.tensor([10_000 ** (-2 * i / 8) for i in range(4)])
    turn = torch.polar(torch.ones(L, 4), torch.arange(L)[:, None] * rates)
    expected = torch.view_as_real(torch.complex(x[..., :4], x[..., 4:]) * turn)
    assert close(rotate(x, cos, sin), torch.cat((expected[..., 0], expected[..., 1]), -1))


@pytest.mark.parametrize("lengths", [[9, 9, 9], [9, 4, 1]])
def test_a_gru_is_that_of_torch_on_each_clip_alone(lengths):
    net, x = encoder("gru", M).layers, draw(M, B, L, W)
    out = net(x, None if min(lengths) == L else ragged(lengths).expand(M, B, L))
    for m in range(M):
        plain = nn.GRU(W, W // 2, 2, batch_first=True, bidirectional=True)
        plain.load_state_dict(net[m].state_dict())
        for b, length in enumerate(lengths):
            assert close(out[m, b, :length], plain(x[m, b : b + 1, :length])[0][0])
            assert not out[m, b, length:].any()


# --- encoders


@pytest.mark.parametrize("kind", KINDS)
def test_members_together_are_each_alone(kind):
    net, tokens = encoder(kind, 3), draw(3, B, L, S)
    valid = torch.stack([ragged(lengths) for lengths in ([9, 4, 1], [2, 9, 9], [9, 9, 9])])
    masked = draw(3, B, L) > 0.5
    together = net(tokens, valid, masked)
    for m in range(3):
        alone = member(net, Encoder(config(kind)), m)
        for found in (
            alone(tokens[m], valid[m], masked[m]),
            alone(*(x[m : m + 1] for x in (tokens, valid, masked)))[0],
        ):
            assert close(together[m][valid[m]], found[valid[m]])


@pytest.mark.parametrize(("kind", "stack"), [("transformer", 2), ("gru", 1)])
def test_frames_are_tokens_and_missing_ones_padding(kind, stack):
    """(B, T, D) frames, (B, L, S) tokens, and either with a member axis: the same states."""
    net, frames = encoder(kind, stack=stack), draw(B, 7, 5)
    frames[0, 2, 1] = math.nan
    frames[1, 4:] = math.nan
    tokens, valid = to_tokens(frames, ragged([7, 4, 7]), stack)
    states = net(tokens, valid)
    assert states.shape == (*valid.shape, W) and states.isfinite().all()
    assert torch.equal(net(frames), states) and torch.equal(net(frames, ragged([7, 4, 7])), states)
    assert torch.equal(net(frames[None])[0], states) and torch.equal(net(tokens[None], valid[None])[0], states)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_no_real_token(kind):
    net, tokens, lengths = encoder(kind), draw(B, L, S), [6, 3, 1]
    valid = nn.functional.pad(ragged(lengths), (0, 3))
    states = net(tokens, valid)
    louder = torch.where(valid[..., None], tokens, 1e3)
    assert close(net(louder, valid)[valid], states[valid])
    for b, length in enumerate(lengths):
        alone = net(tokens[b : b + 1, :length])
        assert close(states[b, :length], alone[0])
        assert close(pool(states, valid)[b], pool(alone, everything(1, length))[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_masked_token_is_not_seen(kind):
    net, tokens, masked = encoder(kind), draw(B, L, S), torch.zeros(B, L, dtype=torch.bool)
    masked[:, 3:6] = True
    states = net(tokens, masked=masked)
    other = torch.where(masked[..., None], draw(B, L, S, seed=9), tokens)
    assert torch.equal(states, net(other, masked=masked))
    assert not close(states, net(tokens), 1e-2)
    with torch.no_grad():
        net.mask.weight[:, 0] += 3
    assert not close(states, net(tokens, masked=masked), 1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_frames_of_which_everything_is_missing(kind):
    net, frames = encoder(kind), torch.full((2, 8, 5), math.nan)
    frames[1] = draw(8, 5)
    tokens, valid = to_tokens(frames, everything(2, 8), 2)
    pooled = pool(net(tokens, valid), valid)
    pooled.sum().backward()
    assert pooled.isfinite().all() and all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


def test_pool_by_hand():
    states = torch.tensor([[[1.0, 0.0], [3.0, 0.0], [50.0, 60.0]], [[7.0, 8.0], [0.0, 0.0], [0.0, 0.0]]])
    tiny = math.sqrt(EPS)
    expected = torch.tensor([[2.0, 0.0, math.sqrt(1 + EPS), tiny], [7.0, 8.0, tiny, tiny]])
    assert close(pool(states, everything(2, 3) & torch.tensor([[1, 1, 0], [1, 0, 0]]).bool()), expected, 1e-6)
    assert pool(states[:0], everything(0, 3)).shape == (0, 4)


# --- the two models


@pytest.mark.parametrize("kind", KINDS)
def test_masked_autoencoder_and_classifier_are_their_parts(kind):
    tokens, valid, masked = draw(M, B, L, S), ragged([9, 4, 1]).expand(M, B, L), draw(M, B, L) > 0.5
    recovers = busy(initialise(MaskedAutoencoder(config(kind), M), (0, 1)))
    guess = recovers(tokens, valid, masked)
    classifies = busy(initialise(Classifier(config(kind), HEAD, M), (0, 1)))
    scores, logits = classifies(tokens, valid)
    for m in range(M):
        states = recovers.encoder(tokens, valid, masked)[m]
        assert close(guess[m], plain_linear(recovers.reconstruct, m)(states))
        pooled = pool(classifies.encoder(tokens, valid)[m], valid[m])
        out = plain_linear(classifies.head.linear, m)(F.layer_norm(pooled, pooled.shape[-1:]))
        assert close(torch.cat((scores[m], logits[m]), -1), out)
        alone = member(classifies, Classifier(config(kind), HEAD), m)
        assert close(torch.cat(alone(tokens[m], valid[m]), -1), out)
        exceedance = classifies.head.exceedance_logits(scores)[m]
        assert close(alone.head.exceedance_logits(scores[m]), exceedance) and exceedance.shape == (B, 2, 3)


def test_cut_points_are_softplus_steps():
    head, scores = Head(HEAD, 4, M), draw(M, B, 2)
    head.cuts.data = raw = 5 * draw(M, 2, 3)
    cuts = scores[:, :, :, None] - head.exceedance_logits(scores)
    assert (cuts.diff(dim=-1) > 0).all()
    assert close(cuts[:, 0, :, 0], raw[..., 0])
    assert close(cuts[:, 1, :, 2], raw[..., 0] + torch.log1p(raw[..., 1].exp()) + torch.log1p(raw[..., 2].exp()))


def test_a_head_begins_at_its_labels_own_distribution():
    head = Head(HeadConfig((0, 1, 2, 3), 2), 4, M)
    # above each threshold: .75, .5, .25 of the first emotion, .5 and then ties of the second
    head.start_at(1, torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 3.0], [3.0, 3.0]]))
    given = torch.sigmoid(head.exceedance_logits(torch.zeros(M, 1, 2)))[1, 0]
    assert close(given[0], torch.tensor([0.75, 0.5, 0.25]))
    # ties are parted by steps of .01, and a logistic curve is nowhere steeper than a quarter
    assert close(given[1], torch.full((3,), 0.5), 2 * 0.01 / 4 + 1e-6)
    assert not head.cuts[0].any()
    head.start_at(0, torch.tensor([[0.0, 3.0]]))  # certain: no share of 0 or 1, which no finite cut point gives
    given = torch.sigmoid(head.exceedance_logits(torch.zeros(M, 1, 2)))[0, 0]
    assert ((given - torch.tensor([[0.0] * 3, [1.0] * 3])).abs() < 2 * 0.01 / 4 + 1e-3 + 1e-6).all()


def test_an_l1_head_begins_at_its_labels_median():
    head = Head(HeadConfig((0, 1), 2, categories=3, kind="l1"), 4, M)
    head.start_at(1, torch.tensor([[0.0, 1.0], [1.0, 1.0], [3.0, 2.0]]))
    assert head.linear.bias.tolist() == [[0] * 5, [1, 1, 0, 0, 0]]


# --- members


@pytest.mark.parametrize("kind", KINDS)
def test_initialise_is_a_function_of_each_members_seed(kind):
    torch.manual_seed(1)
    both = initialise(Classifier(config(kind), HEAD, M), (3, 4))
    torch.manual_seed(2)
    for m, seed in enumerate((3, 4)):
        alone = initialise(Classifier(config(kind), HEAD), [seed])
        for name, value in member_state(both, m).items():
            assert torch.equal(value, alone.state_dict()[name]), name
    assert not torch.equal(*both.encoder.token.weight)
    # a head drawn after it changes nothing of the encoder
    short = initialise(Encoder(config(kind)), [3])
    assert all(torch.equal(v, both.encoder.state_dict()[n][:1]) for n, v in short.state_dict().items() if n[0] != "l")


@pytest.mark.parametrize("kind", KINDS)
def test_members_are_loaded_and_taken_out(kind):
    pretrained = [busy(MaskedAutoencoder(config(kind)), seed) for seed in range(3)]
    net = Classifier(config(kind), HEAD, 3)
    before = copy.deepcopy(net.head.state_dict())
    load_members(net, [one.state_dict() for one in pretrained])  # of which it has no reconstruct
    for m, one in enumerate(pretrained):
        taken = member_state(net.encoder, m)
        assert taken.keys() == one.encoder.state_dict().keys()
        assert all(torch.equal(taken[name], value) for name, value in one.encoder.state_dict().items())
    assert all(torch.equal(value, before[name]) for name, value in net.head.state_dict().items())


def test_depth_counts_from_the_head_down():
    depth = {name: depth_of(name, 3) for name, _ in Classifier(config(layers=3), HEAD).named_parameters()}
    depth |= {name: depth_of(name, 3) for name, _ in Encoder(config("gru", layers=3), M).named_parameters()}
    assert depth["head.linear.weight"] == depth["head.cuts"] == 0
    assert depth["encoder.layers.2.attention.qkv.bias"] == 1
    assert depth["encoder.layers.0.feedforward.up.weight"] == depth["layers.1.weight_ih_l0_reverse"] == 3
    assert depth["layers.0.bias_hh_l2"] == 1
    assert depth["encoder.token.bias"] == depth["encoder.mask.weight"] == 4


# --- ordinary modules


@pytest.mark.parametrize(("kind", "members"), [("transformer", 2), ("gru", 1)])
def test_a_classifier_is_stored_copied_and_converted(kind, members):
    net = busy(initialise(Classifier(config(kind), HEAD, members), range(members)))
    tokens, valid = draw(members, B, L, S), ragged([9, 4, 1]).expand(members, B, L)
    scores, logits = net(tokens, valid)
    again = Classifier(config(kind), HEAD, members)
    assert not again.load_state_dict(net.state_dict()).missing_keys
    double = copy.deepcopy(net).to(torch.float64)
    with torch.no_grad():
        double.head.linear.bias += 1
    assert torch.equal(net(tokens, valid)[0], scores) and torch.equal(again(tokens, valid)[1], logits)
    assert double(tokens.double(), valid)[0].dtype == torch.float64
    assert close(double(tokens.double(), valid)[0].float(), scores + 1, 1e-4)


@pytest.mark.parametrize("backend", ["eager", pytest.param("aot_eager", marks=pytest.mark.slow)])
def test_torch_compile_captures_the_whole_classifier(backend):
    net = busy(initialise(Classifier(config(layers=1), HEAD, M), range(M)))
    tokens, valid = draw(M, B, L, S), ragged([9, 4, 1]).expand(M, B, L)
    found = torch.compile(net, fullgraph=True, backend=backend)(tokens, valid)
    for ours, theirs in zip(net(tokens, valid), found, strict=True):
        assert close(ours, theirs)
    ours, theirs = (
        torch.autograd.grad(out[0].sum(), net.encoder.token.weight)[0] for out in (net(tokens, valid), found)
    )
    assert close(ours, theirs, 1e-4)


@pytest.fixture
def alone_in_a_group():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def loss_of(net: nn.Module, parallel: nn.Module, tokens: torch.Tensor, valid: torch.Tensor, masked: torch.Tensor):
    """A mean over clips to which each parameter that trains adds something."""
    if isinstance(net, MaskedAutoencoder):
        return parallel(tokens, valid, masked).square().mean()
    scores, logits = parallel(tokens, valid)
    return net.head.exceedance_logits(scores).square().mean() + logits.square().mean()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("made", [MaskedAutoencoder, lambda shape: Classifier(shape, HEAD)])
def test_data_parallel_gradients_are_those_of_the_module(alone_in_a_group, kind, made):
    given = draw(B, L, S), ragged([9, 4, 1]), draw(B, L) > 0.5
    net = busy(made(config(kind)))
    parallel = DistributedDataParallel(net)
    for _ in range(2):  # the second pass finds out which gradients of the first one never came
        net.zero_grad()
        loss_of(net, parallel, *given).backward()
    trained = {name: p for name, p in net.named_parameters() if p.requires_grad}
    expected = torch.autograd.grad(loss_of(net, net, *given), list(trained.values()))
    assert all(close(p.grad, g) for p, g in zip(trained.values(), expected, strict=True))
    frozen = {name for name, _ in net.named_parameters()} - trained.keys()
    assert frozen == (set() if made is MaskedAutoencoder else {"encoder.mask.weight"})  # a classifier masks nothing
