"""A Whisper encoder of the same shape with random weights.

python results/ravdess-whisper/random_encoder.py ENCODER OUTPUT
"""

import sys

import torch
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

torch.manual_seed(0)
WhisperEncoder(WhisperConfig.from_pretrained(sys.argv[1])).save_pretrained(sys.argv[2])
