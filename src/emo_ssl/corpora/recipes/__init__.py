"""What a folder of recordings contains, read from a public corpus's names or from a table: a Listing."""

from pathlib import Path

from emo_ssl.corpora.recipes import cremad, emodb, folder, ravdess
from emo_ssl.corpora.recipes.listing import Listing
from emo_ssl.utils.io import UserError

__all__ = ["Listing", "read_recipe"]


def read_recipe(recipe: str, source: Path | str, table: Path | str | None, folds: str = "") -> Listing:
    if recipe == "ravdess" and table is None:
        return ravdess.read(source, folds)
    if folds:
        raise UserError(f"{source}: only the recipe ravdess has other folds, emobox; leave --folds out.")
    if recipe == "emodb" and table is None:
        return emodb.read(source)
    if recipe == "cremad":
        return cremad.read(source, table)
    if recipe == "folder" and table is not None:
        return folder.read(source, table)
    raise UserError(
        f"{source}: give the recipe ravdess or emodb, without a table, cremad, with its votes as --table or without, "
        "or folder, with --table."
    )
