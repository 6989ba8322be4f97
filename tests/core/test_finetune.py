"""Fine-tuning: losses by hand, lockstep against one after another, what is learned by heart."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from builders import Segment, Video, noise, write_segments
from torch.nn import functional as F
from training import FINETUNE, SHAPE, close, write_acted

from emo_ssl.core.finetune import (
    LOOKS,
    THIRDS,
    WHOLE,
    FinetuneConfig,
    Member,
    Task,
    backbone_vectors,
    draw_batches,
    embed,
    keep_better,
    levels_of,
    member_losses,
    permuted,
    predict,
    score,
    table_vectors,
    thresholds_between,
    train,
    with_marginals,
    with_padding,
)
from emo_ssl.core.model import (
    BackboneConfig,
    HeadConfig,
    backbone_shapes,
    cut_points,
    encode,
    exceed,
    head_shapes,
    initialise,
    pool,
    stack_members,
    to_tokens,
)
from emo_ssl.core.normalise import speaker_independent
from emo_ssl.core.optim import AdamConfig

CPU = torch.device("cpu")
KINDS = ("transformer", "gru")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def task(corpus):
    return Task.build(corpus, speaker_independent(corpus), CPU)


@pytest.fixture(scope="module")
def acted(tmp_path_factory):
    prepared = write_acted(tmp_path_factory.mktemp("acted") / "corpus").of_fold(0)
    return Task.build(prepared, speaker_independent(prepared), CPU)


def shape(kind: str = "transformer") -> BackboneConfig:
    return BackboneConfig(features=2, kind=kind, **SHAPE)


def fresh(task: Task, backbone: BackboneConfig, seed: int) -> dict[str, torch.Tensor]:
    shapes = {**backbone_shapes(backbone), **head_shapes(task.head, 2 * backbone.width)}
    return initialise(shapes, seed)


def trio(task: Task, backbone: BackboneConfig) -> list[Member]:
    """Different subsets, budgets, starts and rates."""
    given = ((4, 0, 1e-2), (7, 1, 3e-3), (2, 2, 1e-3))
    return [Member(n, s, np.arange(s, s + n), fresh(task, backbone, s), rate) for n, s, rate in given]


# --- targets and losses


def test_levels_and_the_thresholds_between_them():
    assert levels_of(np.array([[0.0, 3.0]])) == WHOLE == (0, 1, 2, 3)
    assert levels_of(np.array([[0.0, 1 / 3]], np.float32)) == THIRDS
    assert thresholds_between(WHOLE) == (0.5, 1.5, 2.5)
    assert thresholds_between(THIRDS) == pytest.approx([(2 * k + 1) / 6 for k in range(9)])


def stub(task: Task, head: HeadConfig, targets, category) -> Task:
    return replace(task, head=head, targets=torch.tensor(targets), category=torch.tensor(category))


def silent(head: HeadConfig, members: int, bias: list[list[float]]) -> dict[str, torch.Tensor]:
    """A head that says `bias`, a row a member, whatever it is shown."""
    params = stack_members([initialise(head_shapes(head, 4), 0)] * members)
    params["head.weight"].zero_()
    params["head.bias"][:] = torch.tensor(bias)
    return params


def test_the_ordinal_loss_by_hand(task):
    head = HeadConfig((0.5, 1.5), emotions=1)
    params = silent(head, 2, [[0.0], [2.0]])
    params["head.cuts"][:] = torch.tensor([[[-1.0, math.log(math.expm1(3.0))]]])  # cuts at -1 and 2
    picked = torch.tensor([[0, 1], [2, 2]])
    losses = member_losses(stub(task, head, [[0.0], [1.0], [2.0]], [-1] * 3), params, torch.ones(2, 2, 4), picked)

    def cost(logit: float, above: bool) -> float:
        return math.log1p(math.exp(-logit if above else logit))

    # score 0: logits 1 and -2, labels 0 and 1; score 2: logits 3 and 0, label 2 twice
    first = (cost(1, False) + cost(-2, False) + cost(1, True) + cost(-2, False)) / 2
    second = cost(3, True) + cost(0, True)
    assert losses.tolist() == pytest.approx([first, second], rel=1e-5)


def test_the_l1_loss_by_hand(task):
    head = HeadConfig((0.5,), emotions=2, kind="l1")
    stubbed = stub(task, head, [[0.0, 3.0], [1.0, 1.0]], [-1] * 2)
    losses = member_losses(stubbed, silent(head, 1, [[1.0, 0.5]]), torch.ones(1, 2, 4), torch.tensor([[0, 1]]))
    assert losses.tolist() == pytest.approx([(1 + 2.5 + 0 + 0.5) / 4])


def test_categories_add_their_cross_entropy_where_they_are_known(task):
    head = HeadConfig((0.5,), emotions=1, categories=3, kind="l1")
    params = silent(head, 1, [[0.0, 1.0, 2.0, 3.0]])
    stubbed = stub(task, head, [[0.0]] * 3, [2, 0, -1])
    picked, shown = torch.tensor([[0, 1, 2]]), torch.ones(1, 3, 4)
    total = math.log(math.e + math.e**2 + math.e**3)
    assert member_losses(stubbed, params, shown, picked).tolist() == pytest.approx([((total - 3) + (total - 1)) / 3])
    assert member_losses(stubbed, params, shown[:, :1], picked[:, 2:]).tolist() == [0.0]


def test_the_head_begins_at_its_subset_s_own_distribution(task):
    targets = task.targets[:9]
    start = with_marginals(fresh(task, shape(), 0), targets, task.head)
    given = torch.sigmoid(-cut_points({"head.cuts": start["head.cuts"][None]}))[0]
    share = torch.stack([(targets > t).float().mean(0) for t in task.head.thresholds], 1)
    # equal shares are parted by .01, a certain one is .001 short of it
    assert (given - share).abs().max() <= 8 * 0.01 / 4 + 1e-3 + 1e-6
    assert share.unique().numel() > 4


def test_the_l1_head_begins_at_its_subset_s_median(task):
    head = HeadConfig((0.5,), emotions=2, categories=3, kind="l1")
    before = initialise(head_shapes(head, 4), 0)
    start = with_marginals(before, torch.tensor([[0.0, 1.0], [1.0, 1.0], [3.0, 2.0]]), head)
    assert start["head.bias"].tolist() == [1, 1, 0, 0, 0]
    assert not before["head.bias"].any()  # what was handed in stays as it was


# --- batches and crops


@pytest.mark.parametrize("size", [1, 3, 20])
def test_batches_go_through_the_subset_again_and_again(size):
    subset = np.arange(100, 100 + size)
    prepared, place = draw_batches(Member(size, 1, subset, {}, 0.1), 7, 4)
    assert prepared.shape == place.shape == (7, 4)
    assert ((place >= 0) & (place < 1)).all()
    flat = prepared.ravel()
    for begin in range(0, 28 - size + 1, size):
        assert sorted(flat[begin : begin + size]) == subset.tolist()
    again, _ = draw_batches(Member(size, 1, subset, {}, 0.9), 7, 4)
    assert np.array_equal(prepared, again)  # of budget and seed alone
    if size > 1:
        assert not np.array_equal(prepared, draw_batches(Member(size, 2, subset, {}, 0.1), 7, 4)[0])


@pytest.mark.parametrize("tokens", [3, 100])
@pytest.mark.parametrize("place", [0.0, 0.5, 1 - 2**-24, 1.0])
def test_a_crop_is_a_stretch_of_its_segment(task, tokens, place):
    """Also where the place was rounded up to 1, and at the very end of the store."""
    backbone, last = shape(), int((task.first + task.length).argmax())
    store = with_padding(task.frames[: int(task.first[last] + task.length[last])])  # nothing else lies behind it
    params = stack_members([fresh(task, backbone, 0)])
    config = FinetuneConfig(tokens=tokens)
    read = backbone_vectors(replace(task, frames=store), backbone, config)
    found = read(params, torch.tensor([[last]]), torch.tensor([[place]]))
    length = int(task.length[last])
    crop = min(length, 2 * tokens)
    first = int(task.first[last]) + min(int((length - crop + 1) * place), length - crop)
    cut, valid = to_tokens(store[None, None, first : first + crop], torch.ones(1, 1, crop, dtype=torch.bool), 2)
    assert close(found, pool(encode(backbone, params, cut, valid), valid))


# --- lockstep


def same_result(task, backbone, config, a, m: int, b, n: int) -> None:
    """Member m of parameters a is member n of b: in what it says of every segment, and in its weights.

    Of the weights only the mean is held to 1e-5: Adam makes steps of gradients that are nothing but rounding.
    """
    said = [score(task, p, embed(task, backbone, p, np.arange(len(task.targets)), config)).above for p in (a, b)]
    assert np.abs(said[0][m] - said[1][n]).max() < 1e-5
    assert all(float((a[name][m] - b[name][n]).abs().mean()) < 1e-5 for name in a)


@pytest.mark.parametrize("kind", KINDS)
def test_lockstep_is_the_loop(task, kind):
    backbone, config = shape(kind), replace(FINETUNE, steps=12)
    members, read = trio(task, backbone), backbone_vectors(task, backbone, config)
    together = train(task, members, read, config, backbone.layers)
    for m, one in enumerate(members):
        alone = train(task, [one], read, config, backbone.layers)
        assert set(alone) == set(one.start)
        same_result(task, backbone, config, together, m, alone, 0)
        assert not close(alone["token.weight"][0], one.start["token.weight"], 1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_never_hears_of_its_neighbours(task, kind):
    backbone = shape(kind)
    a, b, c = trio(task, backbone)
    loud = replace(c, rate=1.0, start={name: 30 * value for name, value in c.start.items()})
    read = backbone_vectors(task, backbone, FINETUNE)
    quiet, noisy = (train(task, group, read, FINETUNE, backbone.layers) for group in ([a, b], [loud, a, c]))
    same_result(task, backbone, FINETUNE, quiet, 0, noisy, 1)


def test_the_better_weights_are_kept_member_by_member():
    kept = {"a": torch.tensor([[1.0], [2.0], [3.0], [4.0]]), "b": torch.tensor([1.0, 2.0, 3.0, 4.0])}
    new = {name: -value for name, value in kept.items()}
    best, found = torch.tensor([0.5, 0.5, 0.5, -torch.inf]), torch.tensor([0.6, 0.5, torch.nan, torch.nan])
    weights, scores = keep_better(kept, best, new, found)
    assert weights["a"].tolist() == [[-1], [-2], [3], [-4]] and weights["b"].tolist() == [-1, -2, 3, -4]
    assert scores.tolist() == [pytest.approx(0.6), 0.5, 0.5, -torch.inf]


@pytest.mark.parametrize(("steps", "looks"), [(1, 1), (7, 7), (30, LOOKS)])
def test_each_member_keeps_the_weights_of_its_best_look(task, steps, looks):
    backbone, config = shape(), replace(FINETUNE, steps=steps)
    members, read, seen = trio(task, backbone), backbone_vectors(task, backbone, config), []

    def judge(params):  # the first member is best at the first look, the second at the last, the third somewhere
        seen.append({name: value.detach().clone() for name, value in params.items()})
        now = len(seen)
        return torch.tensor([-now, now, -abs(now - 2.0)])

    kept = train(task, members, read, config, backbone.layers, judge)
    assert len(seen) == looks
    for m, look in enumerate((0, looks - 1, min(1, looks - 1))):
        assert all(torch.equal(value[m], seen[look][name][m]) for name, value in kept.items())
    last = train(task, members, read, config, backbone.layers)
    assert all(torch.equal(value, seen[-1][name]) for name, value in last.items())


def test_lockstep_of_probes_on_tables_of_their_own(task):
    config, count = replace(FINETUNE, steps=30), len(task.targets)
    tables = torch.stack([torch.randn(count, 6, generator=torch.Generator().manual_seed(k)) for k in range(2)])
    starts = [initialise(head_shapes(task.head, 6), s) for s in range(3)]
    members = [Member(5, s, np.arange(s, s + 5), start, 1e-2) for s, start in enumerate(starts)]
    sources = torch.tensor([1, 0, 1])
    together = train(task, members, table_vectors(tables, sources), config)
    assert all(name.startswith("head") for name in together)
    for m, one in enumerate(members):
        alone = train(task, [one], table_vectors(tables[sources[m]][None], torch.tensor([0])), config)
        assert all(close(together[name][m], value[0]) for name, value in alone.items())
    assert close(
        table_vectors(tables, sources)({}, torch.tensor([[4], [5], [6]]), None)[:, 0],
        torch.stack((tables[1, 4], tables[0, 5], tables[1, 6])),
    )


def test_layers_near_the_input_move_less(task):
    """Adam's first step is its rate, whatever the gradient: 1e-2, times .5 for each layer down."""
    backbone = replace(shape(), layers=2)
    config = FinetuneConfig(steps=1, batch=4, tokens=12, layer_decay=0.5, adam=AdamConfig(weight_decay=0))
    start = fresh(task, backbone, 0)
    moved = train(task, [Member(8, 0, np.arange(8), start, 1e-2)], backbone_vectors(task, backbone, config), config, 2)
    depth = {
        "head.weight": 0,
        "last.scale": 1,
        "layer1.feed.in.weight": 1,
        "layer0.feed.in.weight": 2,
        "token.weight": 3,
    }
    for name, down in depth.items():
        step = (moved[name][0] - start[name]).abs()
        assert float(step.median()) == pytest.approx(1e-2 * 0.5**down, rel=1e-2), name


# --- what is learned


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head", ["ordinal", "l1"])
def test_a_tiny_model_learns_eight_segments_by_heart(tmp_path, head, kind):
    """Noise and labels at random: nothing but the segments themselves tells their labels."""
    labels = np.random.default_rng(0).integers(0, 4, (8, 2))
    recordings = [Video(f"v{i}", noise(20 + i, seed=i)) for i in range(8)]
    prepared = write_segments(
        tmp_path, recordings, [Segment(i, 0, 20 + i, tuple(map(float, labels[i]))) for i in range(8)]
    )
    task, backbone = Task.build(prepared, speaker_independent(prepared), CPU, head), shape(kind)
    config = FinetuneConfig(steps=400, batch=8, tokens=16, layer_decay=1.0)
    member = Member(8, 0, np.arange(8), fresh(task, backbone, 0), 2e-2)
    params = train(task, [member], backbone_vectors(task, backbone, config), config, backbone.layers)
    pooled = embed(task, backbone, params, np.arange(8), config)
    cell = predict(task, params, pooled)
    assert np.array_equal(cell.klass[0], labels)
    assert np.abs(cell.intensity[0] - labels).max() < 0.5


def test_categories_are_learned_by_heart_too(acted):
    chosen, backbone = np.arange(0, 32, 4), shape()
    config = FinetuneConfig(steps=150, batch=8, tokens=24, layer_decay=1.0)
    member = Member(8, 0, chosen, fresh(acted, backbone, 0), 1e-2)
    params = train(acted, [member], backbone_vectors(acted, backbone, config), config, backbone.layers)
    said = score(acted, params, embed(acted, backbone, params, chosen, config))
    assert said.category.shape == (1, 8, 3)
    assert np.array_equal(said.category[0].argmax(-1), acted.category[chosen])
    assert acted.category[chosen].unique().numel() == 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_trains_in_lockstep_in_bfloat16(corpus, kind):
    task = Task.build(corpus, speaker_independent(corpus), torch.device("cuda"))
    backbone, config = shape(kind), replace(FINETUNE, steps=12, precision="bfloat16")
    read = backbone_vectors(task, backbone, config)
    members = trio(task, backbone)
    together = train(task, members, read, config, backbone.layers)
    pooled = embed(task, backbone, together, np.arange(len(corpus)), config)
    assert pooled.isfinite().all() and pooled.shape == (3, len(corpus), 32)
    alone = train(task, members[1:2], read, config, backbone.layers)
    for name, value in alone.items():
        # twelve steps of at most 1e-2 that may differ in direction where a gradient is all rounding
        assert torch.allclose(together[name][1], value[0], atol=12 * members[1].rate), name


# --- scoring


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("room", [1, 100, 65_536])
def test_embedding_is_that_of_each_segment_alone(task, kind, room):
    backbone, config = shape(kind), FinetuneConfig(score_tokens=room)
    params = stack_members([fresh(task, backbone, seed) for seed in range(2)])
    chosen = np.array([5, 0, 17, 9, 9])
    found = embed(task, backbone, params, chosen, config)
    for i, segment in enumerate(chosen):
        first, length = int(task.first[segment]), int(task.length[segment])
        frames = task.frames[first : first + length].expand(2, 1, -1, -1)
        tokens, valid = to_tokens(frames, torch.ones(2, 1, length, dtype=torch.bool), 2)
        assert close(found[:, i], pool(encode(backbone, params, tokens, valid), valid)[:, 0])
    assert embed(task, backbone, params, np.array([], int), config).shape == (2, 0, 32)


def test_scores_are_what_the_head_says(acted):
    params = stack_members([initialise(head_shapes(acted.head, 6), seed) for seed in range(2)])
    vectors = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0))
    said = score(acted, params, vectors)
    out = torch.stack([F.layer_norm(vectors[m], (6,)) @ params["head.weight"][m] for m in range(2)])
    assert np.allclose(said.category, out[..., 2:].softmax(-1), atol=1e-6)
    assert np.allclose(said.above, torch.sigmoid(exceed(params, out[..., :2])), atol=1e-6)
    assert said.intensity is None
    plain = replace(acted, head=replace(acted.head, kind="l1", categories=0))
    told = score(plain, {n: v[..., :2] if n in ("head.weight", "head.bias") else v for n, v in params.items()}, vectors)
    assert told.above is None and told.category is None
    assert np.allclose(told.intensity, out[..., :2], atol=1e-6)


def test_a_permuted_backbone_keeps_its_values_and_loses_their_places():
    start = initialise(backbone_shapes(shape()), 0)
    mixed = permuted(start, 1)
    assert list(mixed) == list(start)
    for name, value in start.items():
        assert mixed[name].shape == value.shape
        assert torch.equal(mixed[name].flatten().sort().values, value.flatten().sort().values)
    assert not torch.equal(mixed["token.weight"], start["token.weight"])
    assert torch.equal(mixed["token.weight"], permuted(start, 1)["token.weight"])
    assert not torch.equal(mixed["token.weight"], permuted(start, 2)["token.weight"])


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch": 0}, {"tokens": 0}, {"precision": "float16"}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=r"at least 1|is none of"):
        FinetuneConfig(**wrong)
