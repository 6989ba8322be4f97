"""Numbers that a notebook's cells hand to the text around them."""

from emo_ssl.figures.typography import typeset

SAID = "emo_ssl_said"  # in the metadata of an output that is for JupyterLab alone


def say(**values: float | str) -> None:
    """Hand numbers to a page's text, where {glue:text}`name` shows them; without the book's tools there is no page.

    JupyterLab shows the names there, so it gets a line with the values; a page of the book does not show that line.
    """
    try:
        from IPython.display import display
        from myst_nb import glue
    except ImportError:
        return
    # numpy's own numbers would arrive as text such as np.float64(0.5)
    plain = {name: typeset(value) if isinstance(value, str) else float(value) for name, value in values.items()}
    for name, value in plain.items():
        glue(name, value, display=False)
    line = ", ".join(f"{name}: {value if isinstance(value, str) else f'{value:.4g}'}" for name, value in plain.items())
    display({"text/plain": typeset(line)}, raw=True, metadata={SAID: True})
