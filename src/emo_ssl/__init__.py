"""emo-ssl: masked pretraining for audio-based emotion recognition, reproduced so that anyone can rerun it."""

__version__ = "0.1.0"
