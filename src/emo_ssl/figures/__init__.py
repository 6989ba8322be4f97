# ruff: noqa: F401
"""Every figure and table of the book: plain arrays and evidence in, a matplotlib Figure or an HTML table out."""

from emo_ssl.figures.data import constant_baselines, feature_pictures, label_distribution, leakage
from emo_ssl.figures.interactive import interactive_curves
from emo_ssl.figures.players import players
from emo_ssl.figures.prediction import presence_over_time
from emo_ssl.figures.pretraining import filled_gaps, knowledge, losses_by_fold, pretraining_loss
from emo_ssl.figures.slider import slider
from emo_ssl.figures.study import (
    budget_curves,
    category_confusion,
    class_confusion,
    controls,
    emotion_curves,
    emotion_forest,
    headline_curves,
    label_efficiency,
    paired_gains,
)
from emo_ssl.figures.tables import folded, table, text
