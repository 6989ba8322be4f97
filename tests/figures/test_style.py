"""One style: arms that nobody confuses, legends that name everything once, no matplotlib elsewhere."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from emo_ssl.figures import style
from emo_ssl.study import grid


def test_every_arm_has_a_look_of_its_own():
    assert set(grid.ARMS) | {"constants"} <= set(style.ARMS)
    # each of the three alone tells arms apart: a grey print keeps two of them
    for part in ("color", "linestyle", "marker"):
        assert len({str(look[part]) for look in style.ARMS.values()}) == len(style.ARMS), part


# Machado, Oliveira and Fernandes (2009): what each kind of eye makes of linear red, green and blue
EYES = {
    "usual": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])  # of sRGB


@pytest.mark.parametrize("eye", EYES)
def test_every_kind_of_colour_vision_tells_all_arms_apart(eye):
    """By their distance in CIELAB, of which about 2 can just be seen side by side."""
    rgb = np.array([to_rgb(look["color"]) for look in style.ARMS.values()])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt((linear @ np.transpose(EYES[eye])).clip(0, 1) @ TO_XYZ.T / TO_XYZ.sum(1)).T
    lab = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)
    assert min(np.linalg.norm(a - b) for a, b in combinations(lab, 2)) > 10
    assert (1.05 / (y**3 + 0.05)).min() > 2, "a thin line stands out from white"
