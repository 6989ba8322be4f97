"""Speech encoders: the layers of tiny random models against transformers' own count, and what cannot be a model."""

import pickle
import re
import shutil
import sys

import numpy as np
import pytest
import torch
from sounds import RATE, hum, write

from emo_ssl import cli
from emo_ssl.core.corpus import Corpus
from emo_ssl.corpora import encoders
from emo_ssl.corpora.encoders import encoder_front_end
from emo_ssl.corpora.front_ends import front_end
from emo_ssl.corpora.recordings import record
from emo_ssl.utils.io import UserError, write_json

transformers = pytest.importorskip("transformers", reason="needs transformers, of the extra encoders")
BLOCKS, WIDTH = 3, 32
BLOCK = {"num_hidden_layers": BLOCKS, "hidden_size": WIDTH, "num_attention_heads": 2, "intermediate_size": 40}
WAVES = {**BLOCK, "conv_dim": [16] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
WIDE = {"conv_dim": [16, 16], "conv_kernel": [10, 1600], "conv_stride": [10, 1600]}  # looks at a second at once
WHISPER = {"d_model": WIDTH, "encoder_layers": BLOCKS, "encoder_attention_heads": 2, "encoder_ffn_dim": 40}
WHISPER |= {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 40, "vocab_size": 60}
WHISPER |= dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1)
MADE = {
    "whisper": lambda: transformers.WhisperForConditionalGeneration(transformers.WhisperConfig(**WHISPER)),
    "wav2vec2": lambda: transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config(**WAVES, vocab_size=8)),
    "stable": lambda: transformers.Wav2Vec2Model(
        transformers.Wav2Vec2Config(**WAVES, do_stable_layer_norm=True, feat_extract_norm="layer", conv_bias=True)
    ),
    "hubert": lambda: transformers.HubertModel(transformers.HubertConfig(**WAVES)),
    "wavlm": lambda: transformers.WavLMModel(transformers.WavLMConfig(**WAVES)),
    "data2vec": lambda: transformers.Data2VecAudioModel(
        transformers.Data2VecAudioConfig(**WAVES | {"num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 5})
    ),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Family -> a folder as `save_pretrained` writes it, with its weights and their settings."""
    root = tmp_path_factory.mktemp("models")
    for seed, (family, make) in enumerate(MADE.items()):
        torch.manual_seed(seed)
        make().eval().save_pretrained(root / family)
    write_json(root / "hubert" / "preprocessor_config.json", {"do_normalize": False, "sampling_rate": RATE})
    return root


def sound(seconds: float) -> np.ndarray:
    """As quiet as a clip of actors, and not centred."""
    return (0.01 * hum(seconds) + 0.001).astype(np.float32)


def by_transformers(folder, signal: np.ndarray) -> list[np.ndarray]:
    """Layers 0 to BLOCKS of (T, WIDTH) each, as the whole model counts them."""
    with encoders.quiet(transformers):
        model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    signal = signal / np.abs(signal).max()
    if folder.name != "hubert":
        signal = (signal - signal.mean()) / np.sqrt(signal.var() + 1e-7)
    with torch.no_grad():
        states = model(torch.from_numpy(signal)[None], output_hidden_states=True).hidden_states
    assert len(states) == BLOCKS + 1
    return [state[0].numpy() for state in states]


@pytest.mark.parametrize("family", [family for family in MADE if family != "whisper"])
@pytest.mark.parametrize("layers", [(0,), (1,), (BLOCKS,), (0, 2), "all"])
def test_layers_are_those_of_transformers(folders, family, layers):
    signal = sound(0.6)
    maker = encoder_front_end(str(folders / family), layers)
    chosen = range(BLOCKS + 1) if layers == "all" else layers
    expected = np.concatenate([by_transformers(folders / family, signal)[layer] for layer in chosen], 1)
    found = maker.frames(signal, RATE)
    assert found.dtype == np.float32 and found.shape == (29, len(maker.feature_names))  # (9600 - 400) // 320 + 1
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert maker.about["layers"] == list(chosen) and maker.frame_rate == 50
    assert maker.feature_names[-1] == f"L{max(chosen)}.031" and maker.feature_names[0] == f"L{min(chosen)}.000"


def test_whisper_without_padding(folders, monkeypatch):
    """Its own encoder takes sound of one length only; a copy whose positions end with the clip is asked instead."""
    signal = sound(1.01)  # 50.5 frames
    maker = encoder_front_end(str(folders / "whisper"), "all")
    padded = np.pad(signal / np.abs(signal).max(), (0, 160))
    extractor = transformers.WhisperFeatureExtractor(feature_size=80)
    bands = extractor(padded, sampling_rate=RATE, padding=False, return_tensors="pt")["input_features"]
    encoder = transformers.WhisperModel.from_pretrained(folders / "whisper").encoder.eval()
    encoder.config.max_source_positions = 51
    encoder.embed_positions = torch.nn.Embedding.from_pretrained(encoder.embed_positions.weight[:51])
    with torch.no_grad():
        states = encoder(bands, output_hidden_states=True).hidden_states
    expected = torch.cat(states, -1)[0].numpy()
    found = maker.frames(signal, RATE)
    assert expected.shape == found.shape == (51, (BLOCKS + 1) * WIDTH)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(encoder_front_end(str(folders / "whisper"), [2]).frames(signal, RATE),
                                  found[:, 2 * WIDTH : 3 * WIDTH])  # fmt: skip


def test_an_encoder_by_itself_is_the_same_as_in_its_model(folders, tmp_path):
    transformers.WhisperModel.from_pretrained(folders / "whisper").encoder.save_pretrained(tmp_path / "alone")
    whole, alone = (encoder_front_end(str(folder)) for folder in (folders / "whisper", tmp_path / "alone"))
    np.testing.assert_array_equal(whole.frames(sound(0.5), RATE), alone.frames(sound(0.5), RATE))


@pytest.mark.parametrize("family", ["whisper", "hubert"])
def test_neither_level_nor_process_shows(folders, family):
    maker = front_end(str(folders / family))
    frames = maker.frames(sound(0.5), RATE)
    np.testing.assert_array_equal(maker.frames(4 * sound(0.5), RATE), frames)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(maker)).frames(sound(0.5), RATE), frames)
    assert np.isfinite(maker.frames(np.zeros(8_000, np.float32), RATE)).all()


@pytest.mark.parametrize("family", MADE)
@pytest.mark.parametrize("extra", [0, 10, 390])
def test_pieces_of_long_sound_join_without_a_gap(folders, family, extra, monkeypatch):
    """As many frames as of the whole, whatever is left for the last piece; and the pieces' own frames."""
    maker, signal = encoder_front_end(str(folders / family), [1]), sound(4.0 + extra / RATE)
    whole = maker.frames(signal, RATE)
    monkeypatch.setattr(encoders, "CORE", 1)
    monkeypatch.setattr(encoders, "CONTEXT", 1)
    pieces = maker.frames(signal, RATE)
    assert pieces.shape == whole.shape
    np.testing.assert_array_equal(maker.frames(signal / np.abs(signal).max(), RATE), pieces)


def test_names_and_layers(folders):
    path = str(folders / "hubert")
    assert front_end(path).about["layers"] == [2]  # the middle of 0 to 3
    assert front_end(f"{path}:3,1").about["layers"] == [1, 3]
    assert front_end(f"{path}:all").name == "hubert:0,1,2,3"
    maker = encoder_front_end(path)
    about, digest = maker.about["speech_encoder"], encoders.digest_of(folders / "hubert")
    assert about["sha256"] == digest and digest[:12] in maker.version and about["revision"] is None
    for absent in ("4", "-1", "1,4"):
        with pytest.raises(UserError, match=rf"hubert: has no layer {absent}; choose some of 0 to 3, or all"):
            front_end(f"{path}:{absent}")
    with pytest.raises(UserError, match=r"mel: neither acoustics, .* nor a speech encoder .*: hf download mel"):
        front_end("mel:2")
    (folders / "hubert" / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n# license: none\n")
    assert encoder_front_end(path).licence == "apache-2.0"
    assert "not stated" in encoder_front_end(str(folders / "wavlm")).licence


# --- what is no model


def damaged(folders, tmp_path, **changes: object):
    shutil.copytree(folders / "hubert", tmp_path / "bad")
    config = encoders.read_json(tmp_path / "bad" / "config.json")
    write_json(tmp_path / "bad" / "config.json", config | changes)
    return tmp_path / "bad"


def refused(folder, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        front_end(str(folder))
    assert "\n" not in str(caught.value)


def test_folders_that_hold_no_speech_encoder(folders, tmp_path):
    refused(tmp_path, "no speech encoder here; a model's folder holds config.json and model.safetensors")
    refused(damaged(folders, tmp_path, model_type="bert"), "a model of the kind bert; speech encoders are whisper,")
    weights = tmp_path / "bad" / "model.safetensors"
    write_json(tmp_path / "bad" / "config.json", encoders.read_json(folders / "hubert" / "config.json"))
    weights.write_bytes(weights.read_bytes()[:1000])
    refused(tmp_path / "bad", "cannot be loaded as hubert .*fetch the model again")
    weights.rename(tmp_path / "bad" / "pytorch_model.bin")
    refused(tmp_path / "bad", r"only pickled weights \(pytorch_model.bin\), which may run code")
    (tmp_path / "bad" / "pytorch_model.bin").unlink()
    refused(tmp_path / "bad", "no weights here; a model needs model.safetensors")


@pytest.mark.parametrize(
    ("changes", "reason"), [({"num_hidden_layers": 4}, "no weights for"), ({"hidden_size": 24}, "")]
)
def test_weights_that_do_not_fit_the_configuration(folders, tmp_path, changes, reason):
    refused(damaged(folders, tmp_path, **changes), f"cannot be loaded as hubert .*{reason}")


def test_without_transformers(folders, monkeypatch):
    encoders.loaded.cache_clear()
    monkeypatch.setitem(sys.modules, "transformers", None)
    refused(folders / "hubert", r'^speech encoders need transformers, which is missing .*install "emo-ssl\[encoders\]"')
    refused("mel", "^mel: is none of acoustics, egemaps, compare, and speech encoders need transformers, which is")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nobody/nothing", "fetched by: hf download nobody/nothing"),
        ("bert", "a model of the kind bert"),
        ("empty", "no weights here"),
        ("pickled", "only pickled weights"),
        ("hubert:9", "has no layer 9"),
        ("wide", "3 of 3 recordings cannot be used, .* shorter than the 1 s that the encoder looks at at once"),
    ],
)
def test_the_command_ends_in_one_sentence(folders, tmp_path, monkeypatch, capsys, name, words):
    shutil.copytree(folders / "hubert", tmp_path / "hubert")
    for bad in ("empty", "pickled"):
        shutil.copytree(folders / "hubert", tmp_path / bad)
        (tmp_path / bad / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pickled" / "pytorch_model.bin")
    transformers.BertModel(transformers.BertConfig(**BLOCK, vocab_size=9)).save_pretrained(tmp_path / "bert")
    transformers.HubertModel(transformers.HubertConfig(**WAVES | WIDE)).save_pretrained(tmp_path / "wide")
    source(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    made = ["--recipe", "folder", "--table", "in/labels.csv", "--front-end", name, "-o", "out", "--jobs", "1"]
    assert cli.main(["corpus", "record", "in", *made]) == 2
    (said,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("recording: ")]
    assert re.search(words, said)
    assert not (tmp_path / "out" / "corpus.json").exists()


# --- a corpus


def source(folder):
    for name in "abc":
        write(folder / f"{name}.wav", hum(0.5 + 0.1 * ord(name) - 9.7, pitch=ord(name)))
    (folder / "labels.csv").write_text("path,speaker,happy\n" + "".join(f"{n}.wav,{n},1\n" for n in "abc"))
    return folder


def test_a_corpus_of_encoder_frames(folders, tmp_path, capsys):
    own = source(tmp_path / "in")
    made = ["--recipe", "folder", "--table", str(own / "labels.csv"), "--front-end", f"{folders / 'hubert'}:0,2"]
    assert cli.main(["corpus", "record", str(own), *made, "-o", str(tmp_path / "out"), "--jobs", "1"]) == 0
    assert "hubert:0,2" in capsys.readouterr().out
    corpus = Corpus.open(tmp_path / "out")
    assert corpus.header["dtype"] == "<f2" and corpus.header["layers"] == [0, 2]
    assert corpus.header["speech_encoder"]["sha256"] == encoders.digest_of(folders / "hubert")
    maker, signal = front_end(f"{folders / 'hubert'}:0,2"), hum(0.5, pitch=97)
    one = record(own, tmp_path / "one", "folder", own / "labels.csv", maker, jobs=1, half=False)
    assert one.recordings.length.tolist() == corpus.recordings.length.tolist() == [24, 29, 34]
    np.testing.assert_array_equal(np.asarray(one.frames).astype(np.float16), corpus.frames)
    np.testing.assert_allclose(one.recording(0), maker.frames(signal.astype(np.float32), RATE), atol=1e-2)


def test_weights_that_changed_between_two_commands(folders, tmp_path, capsys):
    own, out, models = source(tmp_path / "in"), tmp_path / "out", tmp_path / "models"
    shutil.copytree(folders / "hubert", models / "hubert")
    made = ["corpus", "record", str(own), "--recipe", "folder", "--table", str(own / "labels.csv"), "--jobs", "1"]
    made += ["--front-end", str(models / "hubert"), "-o", str(out)]
    assert cli.main(made) == 0 == cli.main(made)
    shutil.copy(folders / "wavlm" / "model.safetensors", models / "hubert" / "model.safetensors")
    shutil.copy(folders / "wavlm" / "config.json", models / "hubert" / "config.json")
    encoders.loaded.cache_clear()
    assert cli.main(made) == 2
    assert re.search(r"another configuration \(front_end_version is '1, weights \w+' there", capsys.readouterr().err)


def test_sound_that_is_shorter_than_what_the_encoder_looks_at(tmp_path):
    """A made-up model that looks at a second at once: the clips below it are listed, the others used."""
    transformers.HubertModel(transformers.HubertConfig(**WAVES | WIDE)).save_pretrained(tmp_path / "wide")
    own = source(tmp_path / "in")
    for name in "bc":
        write(own / f"{name}.wav", hum(2.0, pitch=ord(name)))
    made = record(own, tmp_path / "out", "folder", own / "labels.csv", str(tmp_path / "wide"), jobs=1)
    reason = "shorter than the 1 s that the encoder looks at at once"
    assert made.report["skipped"] == [{"path": "a.wav", "reason": reason}]
    assert made.recordings.length.tolist() == [2, 2] and made.frame_rate == 1


# --- real voices


def test_real_whisper_needs_no_padding(real_data):
    """The frames of a clip by itself are close to those that the model makes of it with silence up to 30 s."""
    from emo_ssl.corpora.audio import read, voiced_part

    folder = real_data / "whisper-tiny.en-encoder"
    if not folder.is_dir():
        pytest.skip("needs the encoder of Whisper tiny.en beside the real data")
    clip, rate = read(sorted((real_data / "ravdess-16k").glob("*/*.flac"))[0])
    clip = clip[voiced_part(clip, rate)]
    encoder = encoders.loaded(str(folder), "cpu").encoder
    clip = clip / np.abs(clip).max()
    bands = transformers.WhisperFeatureExtractor()(clip, sampling_rate=rate, return_tensors="pt")["input_features"]
    with torch.no_grad():
        states = encoder(bands, output_hidden_states=True).hidden_states
    for layer in (0, 2, 4):
        found = encoder_front_end(str(folder), [layer]).frames(clip, rate)
        assert found.shape == (-(-len(clip) // 320), 384)
        inside = slice(0, len(found) - 5)  # the last frames have seen the end
        r = np.corrcoef(found[inside].ravel(), states[layer][0, : len(found)][inside].numpy().ravel())[0, 1]
        print(f"layer {layer}: r = {r:.3f}")
        assert r > 0.8
