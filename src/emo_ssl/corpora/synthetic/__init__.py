"""A made-up corpus of CMU-MOSEI's shape in which the truth is known, in the real corpus's own file format."""

from emo_ssl.corpora.synthetic.scenarios import GENERATOR, SCENARIOS, SynthConfig
from emo_ssl.corpora.synthetic.writer import SUMMARY, describe, write_corpus

__all__ = ["GENERATOR", "SCENARIOS", "SUMMARY", "SynthConfig", "describe", "write_corpus"]
