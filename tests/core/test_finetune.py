"""Fine-tuning: losses by hand, lockstep against one after another, what is learned by heart."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from builders import Segment, Video, noise, write_segments
from training import FINETUNE, SHAPE, close, draw, member, write_acted

from emo_ssl.core import predictor
from emo_ssl.core.batches import without_gaps
from emo_ssl.core.finetune import (
    CACHED_TOKENS,
    CHECKS,
    STANDARDISED_BY,
    THIRDS,
    WHOLE,
    FinetuneConfig,
    LabelledSegments,
    Member,
    draw_batches,
    levels_of,
    member_losses,
    members_at_once,
    random_crops,
    standardise,
    train,
)
from emo_ssl.core.model import Classifier, EncoderConfig, Head, HeadConfig, initialise, pool, to_tokens
from emo_ssl.core.normalise import speaker_independent
from emo_ssl.core.predictor import embed, predict

CPU = torch.device("cpu")
KINDS = ("transformer", "gru")
TRIO = [Member(s, np.arange(s, s + n)) for s, n in ((0, 4), (1, 7), (2, 2))]  # different subsets and budgets


@pytest.fixture(scope="module")
def data(corpus):
    return LabelledSegments.build(corpus, speaker_independent(corpus), CPU)


@pytest.fixture(scope="module")
def acted(tmp_path_factory):
    made = write_acted(tmp_path_factory.mktemp("acted") / "corpus").of_fold(0)
    return LabelledSegments.build(made, speaker_independent(made), CPU)


def classifier(data: LabelledSegments, kind: str = "transformer", seeds=(0,), **more) -> Classifier:
    config = EncoderConfig(**{"features": 2, "kind": kind, **SHAPE, **more})
    return initialise(Classifier(config, data.head, len(seeds)), seeds).to(data.device)


def trained(network: Classifier, data: LabelledSegments, members, config: FinetuneConfig, rate=1e-2, **more):
    train(network, random_crops(data, network.encoder.config.stack, config), data, members, config, rate, **more)
    return network


def state_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def frames_of(data: LabelledSegments, segment: int) -> torch.Tensor:
    first = int(data.first[segment])
    return data.frames[first : first + int(data.length[segment])]


# --- labels and losses


def test_segments_lie_where_their_frames_and_labels_are(corpus, data):
    normaliser = speaker_independent(corpus)
    for i in (0, 7, len(corpus) - 1):
        expected = normaliser(corpus.segment(i), int(corpus.segments.recording[i]))
        assert np.array_equal(frames_of(data, i), expected)
        assert data.targets[i].tolist() == corpus.targets[i].tolist()


def test_levels_and_the_thresholds_between_them(data):
    assert levels_of(np.array([[0.0, 3.0]])) == WHOLE == (0, 1, 2, 3)
    assert levels_of(np.array([[0.0, 1 / 3]], np.float32)) == THIRDS
    assert data.head.levels == THIRDS and data.head.thresholds == pytest.approx([(2 * k + 1) / 6 for k in range(9)])


def losses(data: LabelledSegments, head: HeadConfig, targets, category, out, picked) -> list[float]:
    """Of a head with cut points at -1 and 2 (ordinal) and these outputs (M, B, E + C)."""
    stub = replace(data, head=head, targets=torch.tensor(targets), category=torch.tensor(category))
    out, made = torch.tensor(out), Head(head, 4, len(out))
    if head.kind == "ordinal":
        made.cuts.data[:] = torch.tensor([-1.0, math.log(math.expm1(3.0))])
    scores, logits = out[..., : head.emotions], out[..., head.emotions :]
    return member_losses(stub, made, scores, logits, torch.tensor(picked)).tolist()


def test_losses_by_hand(data):
    def cost(logit: float, above: bool) -> float:
        return math.log1p(math.exp(-logit if above else logit))

    # score 0: logits 1 and -2, labels 0 and 1; score 2: logits 3 and 0, label 2 twice
    first = (cost(1, False) + cost(-2, False) + cost(1, True) + cost(-2, False)) / 2
    second = cost(3, True) + cost(0, True)
    ordinal = HeadConfig((0, 1, 2), emotions=1)
    outputs, picked = [[[0.0], [0.0]], [[2.0], [2.0]]], [[0, 1], [2, 2]]
    found = losses(data, ordinal, [[0.0], [1.0], [2.0]], [-1] * 3, outputs, picked)
    assert found == pytest.approx([first, second], rel=1e-5)
    l1 = HeadConfig((0, 1), emotions=2, kind="l1")
    found = losses(data, l1, [[0.0, 3.0], [1.0, 1.0]], [-1] * 2, [[[1.0, 0.5], [1.0, 0.5]]], [[0, 1]])
    assert found == pytest.approx([(1 + 2.5 + 0 + 0.5) / 4])
    # categories add their cross-entropy where they are known
    both, out = HeadConfig((0, 1), emotions=1, categories=3, kind="l1"), [0.0, 1.0, 2.0, 3.0]
    total = math.log(math.e + math.e**2 + math.e**3)
    found = losses(data, both, [[0.0]] * 3, [2, 0, -1], [[out] * 3], [[0, 1, 2]])
    assert found == pytest.approx([((total - 3) + (total - 1)) / 3])
    assert losses(data, both, [[0.0]] * 3, [2, 0, -1], [[out]], [[2]]) == [0.0]


@pytest.mark.parametrize("kind", ["ordinal", "l1"])
def test_each_member_begins_at_the_distribution_of_its_own_labels(data, kind):
    stub = replace(data, head=replace(data.head, kind=kind))
    network, expected = (classifier(stub, seeds=(0, 1, 2)) for _ in range(2))
    for m, one in enumerate(TRIO):
        expected.head.start_at(m, data.targets[one.subset])
    trained(network, stub, TRIO, FINETUNE, rate=0.0)
    assert all(torch.equal(value, expected.state_dict()[name]) for name, value in network.state_dict().items())


# --- batches and crops


@pytest.mark.parametrize("size", [1, 3, 20])
def test_batches_go_through_the_subset_again_and_again(size):
    subset = np.arange(100, 100 + size)
    picked, place = draw_batches(Member(1, subset), 7, 4)
    assert picked.shape == place.shape == (7, 4) and ((place >= 0) & (place < 1)).all()
    for begin in range(0, 28 - size + 1, size):
        assert sorted(picked.ravel()[begin : begin + size]) == subset.tolist()
    assert np.array_equal(picked, draw_batches(Member(1, subset), 7, 4)[0])  # of budget and seed alone
    assert size == 1 or not np.array_equal(picked, draw_batches(Member(2, subset), 7, 4)[0])


@pytest.mark.parametrize("tokens", [3, 100])
@pytest.mark.parametrize("place", [0.0, 0.5, 1 - 2**-24, 1.0])
def test_a_crop_is_a_stretch_of_its_segment(data, tokens, place):
    """Also where the place was rounded up to 1, and at the very end of the store."""
    last = int((data.first + data.length).argmax())
    store = data.frames[: int(data.first[last] + data.length[last])]  # nothing else lies behind it
    inputs = random_crops(replace(data, frames=without_gaps(store)), 2, FinetuneConfig(tokens=tokens))
    found, real = inputs(torch.tensor([[last]]), torch.tensor([[place]]))
    frames = frames_of(data, last)
    crop = min(len(frames), 2 * tokens)
    begin = min(int((len(frames) - crop + 1) * place), len(frames) - crop)
    expected, valid = to_tokens(frames[begin : begin + crop], torch.ones(crop, dtype=torch.bool), 2)
    assert torch.equal(found[0, 0][real[0, 0]], expected[valid]) and not found[0, 0][~real[0, 0]].any()


# --- lockstep


@pytest.mark.parametrize("kind", KINDS)
def test_lockstep_is_the_loop_whoever_is_beside(data, kind):
    """Each member alone, and beside another one with weights 30 times as large.

    Six steps: Adam makes steps of gradients that are nothing but rounding, and over many of them that grows.
    """
    config, everything = replace(FINETUNE, steps=6), np.arange(len(data.targets))
    together = classifier(data, kind, (0, 1, 2))
    with torch.no_grad():
        for name, parameter in together.named_parameters():
            (parameter if name.startswith("encoder.layers.2.") and kind == "gru" else parameter[2:]).mul_(30)
    alone = [member(together, classifier(data, kind), m) for m in range(3)]
    standardise(together, data, everything, config)
    trained(together, data, TRIO, config)
    for m, (one, network) in enumerate(zip(TRIO, alone, strict=True)):
        start = state_of(network)
        standardise(network, data, everything, config)
        trained(network, data, [one], config)
        moved, mine = network.state_dict(), member(together, classifier(data, kind), m)
        assert not close(moved["encoder.token.weight"], start["encoder.token.weight"], 1e-4)
        if m == 2:
            continue  # at that size rounding errors grow into something else
        assert all(float((moved[name] - value).abs().mean()) < 1e-5 for name, value in mine.state_dict().items())
        found = [predict(n.head, embed(n, data, everything)) for n in (network, mine)]
        assert np.abs(found[0].presence - found[1].presence).max() < 1e-4


def test_members_at_once_on_a_processor():
    config = FinetuneConfig(batch=8, tokens=64)
    encoder, cpu = EncoderConfig(features=3, width=16, layers=1), torch.device("cpu")
    assert members_at_once(config, encoder, 64, cpu) == CACHED_TOKENS // 512
    assert members_at_once(replace(config, chunk_tokens=1024), encoder, 64, cpu) == 2
    assert members_at_once(replace(config, chunk_tokens=1), encoder, 64, torch.device("cuda")) == 1


@pytest.mark.parametrize(("width", "layers", "features"), [(48, 2, 74), (64, 3, 20)])
def test_members_at_once_on_a_gpu_fit_its_free_memory(width, layers, features, monkeypatch):
    config, encoder = FinetuneConfig(batch=4, tokens=32), EncoderConfig(features, width=width, layers=layers, stack=4)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1_000_000_000, 2_000_000_000))
    many = members_at_once(config, encoder, 32, torch.device("cuda"))
    network, kept = initialise(Classifier(encoder, HeadConfig((0.0, 1.0), 6, 0), 2), (0, 1)), {}

    def seen(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor  # which also keeps its place from being used again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(seen, lambda tensor: tensor):
        tokens, valid = torch.randn(2, 4, 32, 4 * features), torch.arange(32).expand(2, 4, 32) < 30
        out = network(tokens, valid)
    assert out[0].requires_grad
    a_step = sum(tensor.untyped_storage().nbytes() for tensor in kept.values()) / 2  # of one member
    assert 0.5 < many * a_step / 500_000_000 <= 1
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2000))
    assert members_at_once(config, encoder, 32, torch.device("cuda")) == 1


@pytest.mark.parametrize(("steps", "checks"), [(1, 1), (7, 7), (30, CHECKS)])
def test_each_member_keeps_the_weights_of_its_best_check(data, steps, checks):
    config, seen = replace(FINETUNE, steps=steps), []

    def check(network):  # the first member is best at the first check, the second is undefined before the last one
        seen.append(state_of(network))
        now = len(seen)
        return torch.tensor([-float(now), 1.0 if now == checks else math.nan, 0.0])  # of equals the later one is kept

    kept = trained(classifier(data, seeds=(0, 1, 2)), data, TRIO, config, check=check).state_dict()
    assert len(seen) == checks
    for m, best in enumerate((0, checks - 1, checks - 1)):
        assert all(torch.equal(value[m], seen[best][name][m]) for name, value in kept.items())
    last = trained(classifier(data, seeds=(0, 1, 2)), data, TRIO, config).state_dict()
    assert all(torch.equal(value, seen[-1][name]) for name, value in last.items())


# --- what is learned


@pytest.mark.parametrize(
    ("kind", "head"), [pytest.param("gru", "ordinal", marks=pytest.mark.slow), ("transformer", "l1")]
)
def test_a_tiny_model_learns_eight_segments_by_heart(tmp_path, head, kind):
    """Noise and labels at random: nothing but the segments themselves gives their labels away."""
    labels = np.random.default_rng(0).integers(0, 4, (8, 2))
    recordings = [Video(f"v{i}", noise(20 + i, seed=i)) for i in range(8)]
    segments = [Segment(i, 0, 20 + i, tuple(map(float, labels[i]))) for i in range(8)]
    corpus = write_segments(tmp_path, recordings, segments)
    data = LabelledSegments.build(corpus, speaker_independent(corpus), CPU, head)
    config = FinetuneConfig(steps=250, batch=8, tokens=16, layer_decay=1.0)
    network = trained(classifier(data, kind), data, [Member(0, np.arange(8))], config, 2e-2)
    predictions = predict(network.head, embed(network, data, np.arange(8)))
    assert np.array_equal(predictions.klass[0], labels)
    assert np.abs(predictions.intensity[0] - labels).max() < 0.5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_trains_in_lockstep_in_bfloat16(corpus, kind):
    data = LabelledSegments.build(corpus, speaker_independent(corpus), torch.device("cuda"))
    config = replace(FINETUNE, steps=12, precision="bfloat16")
    together = trained(classifier(data, kind, (0, 1, 2)), data, TRIO, config)
    pooled = embed(together, data, np.arange(len(corpus)))
    assert pooled.isfinite().all() and pooled.shape == (3, len(corpus), 32)
    alone = trained(classifier(data, kind, (1,)), data, TRIO[1:2], config).state_dict()
    for name, value in member(together, classifier(data, kind), 1).state_dict().items():
        # twelve steps of at most 1e-2 that may differ in direction where a gradient is all rounding
        assert torch.allclose(alone[name], value, atol=12 * 1e-2), name


# --- scoring


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("room", [1, 100, 65_536])
def test_embedding_is_that_of_each_segment_alone(data, kind, room, monkeypatch):
    monkeypatch.setattr(predictor, "SCORED_TOKENS", room)
    network, chosen = classifier(data, kind, (0, 1)), np.array([5, 0, 17, 9, 9])
    found = embed(network, data, chosen)
    for i, segment in enumerate(chosen):
        states = network.encoder(frames_of(data, segment).expand(2, 1, -1, -1))
        assert close(found[:, i], pool(states, torch.ones(states.shape[:3], dtype=torch.bool))[:, 0])
    assert embed(network, data, chosen[:0]).shape == (2, 0, 32)


def test_heads_read_states_in_units_of_the_pool(data):
    network, chosen = classifier(data, seeds=(0, 1)), np.array([3, 8, 4, 11, 20])
    config, longest = replace(FINETUNE, tokens=15), 30  # frames of a crop; of longer segments the middle counts
    assert min(data.length[chosen]) < longest < max(data.length[chosen])
    crops = [frames_of(data, i)[None] for i in range(30)]
    crops = [x[:, (x.shape[1] - longest) // 2 :][:, :longest] if x.shape[1] > longest else x for x in crops]
    plain = torch.stack([network.pooled(x.expand(2, 1, -1, -1))[:, 0] for x in crops], 1).double().detach()
    with torch.no_grad():
        network.center[1, 0], network.spread[1, 0] = 5.0, 0.1  # begun in other units, it ends in the same
    standardise(network, data, chosen, config)
    center, spread = plain[:, chosen].mean(1, keepdim=True), plain[:, chosen].std(1, correction=0, keepdim=True)
    found = torch.stack([network.pooled(x.expand(2, 1, -1, -1))[:, 0] for x in crops], 1)
    assert close(found.double(), (plain - center) / spread, 1e-4)
    still = classifier(data)
    standardise(still, data, np.array([6, 6]), config)  # what never varies keeps its scale
    assert torch.equal(still.spread, torch.ones(1, 32)) and close(still.center[0].double(), plain[0, 6])
    places = []
    network.standardise = lambda pooled: places.append(pooled.shape[1])
    standardise(network, data, np.arange(STANDARDISED_BY + 90) % 30, FINETUNE)
    assert places == [STANDARDISED_BY]


def test_predictions_are_what_the_head_puts_out(acted):
    vectors = draw(2, 5, 6)
    for head in (acted.head, replace(acted.head, kind="l1", categories=0)):
        made = initialise(Head(head, 6, 2), (0, 1))
        scores, logits = (out.detach() for out in made(vectors))
        found = predict(made, vectors)
        if head.kind == "l1":
            assert np.array_equal(found.presence, scores) and found.category is None
        else:
            assert np.allclose(found.category, logits.softmax(-1), atol=1e-6)
            above = torch.sigmoid(made.exceedance_logits(scores)).detach()
            assert np.allclose(found.presence, above[..., 0], atol=1e-6)
            assert np.array_equal(found.intensity, (above > 0.5).sum(-1))


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"batch": 0}, {"tokens": 0}, {"chunk_tokens": -1}, {"precision": "float16"}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=r"at least 1|is none of"):
        FinetuneConfig(**wrong)
