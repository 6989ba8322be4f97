"""What a corpus holds and what became of its defects, as text that a person can read."""

from emo_ssl.core.corpus import SPLITS


def text_table(report: dict) -> str:
    """The report as aligned lines; the sums that must hold are spelled out."""
    prepared, frames = report["segments"], report["frames"]
    lines = [sum_line("segments", prepared["in"], prepared["kept"], sum(prepared["dropped"].values()))]
    lines += rows("dropped", prepared["dropped"])
    lines += rows("mended and kept", report["mended"])
    lines += ["", "by split"]
    lines += [f"  {name:<8}{v['in']:>9,} in{v['kept']:>9,} kept" for name, v in report["by_split"].items()]
    gone = {name.removeprefix("dropped: "): n for name, n in frames.items() if name.startswith("dropped")}
    lines += ["", sum_line("frames", frames["in"], frames["kept"], sum(gone.values()))]
    lines += rows("dropped", gone)
    lines += rows("missing values (not finite)", report["missing_values"])
    lines += ["", *rows("videos", report["videos"])]
    if report["files"]:
        lines += ["", *(f"{what} in {name}" for what, name in report["files"].items())]
    if report["label_columns_not_used"]:
        lines += ["", f"label columns not used: {', '.join(report['label_columns_not_used'])}"]
    return "\n".join(lines) + "\n"


def sum_line(what: str, total: int, kept: int, dropped: int) -> str:
    return f"{what}: {total:,} in = {kept:,} kept + {dropped:,} dropped"


def rows(title: str, counts: dict[str, int]) -> list[str]:
    shown = {name: n for name, n in counts.items() if n}
    return [f"  {title}:", *(f"    {n:>12,}  {name}" for name, n in shown.items())] if shown else []


def describe(summary: dict) -> str:
    """`Segments.summary()` as text: what is in it, labels, floors, defects."""
    lines = [
        f"{summary['folder']}: {summary['source']}",
        f"content hash {summary['content_hash']}",
        f"folds: {summary['folds']}",
        f"{summary['frames']:,} frames ({summary['hours']:.1f} h) of {summary['features']} features at "
        f"{summary['frame_rate']:g} Hz, {summary['dtype'].lstrip('<')}",
        "",
        f"{'':<10}" + "".join(f"{name:>9}" for name in SPLITS),
        *(f"{what:<10}" + "".join(f"{summary[what][name]:>9,}" for name in SPLITS) for what in ("videos", "segments")),
        "",
        f"{'labels':<10}{'above 0':>9}{'mean':>9}{'class 0':>9}{'1':>9}{'2':>9}{'3':>9}",
        *(label_line(name, row) for name, row in summary["labels"].items()),
    ]
    for split, constants in summary["floors"].items():
        for metric, words in (("mae", "mean absolute error"), ("acc4", "4-class accuracy")):
            if constants:
                lines += floor_table(f"floors on {split}, {words}", {c: v[metric] for c, v in constants.items()})
    return "\n".join(lines) + "\n\n" + text_table(summary["report"])


def label_line(name: str, row: dict) -> str:
    if row["positive"] is None:
        return f"{name:<10}{'no segment':>9}"
    return f"{name:<10}{row['positive']:>9.1%}{row['mean']:>9.3f}" + "".join(f"{x:>9.1%}" for x in row["classes"])


def floor_table(title: str, rows_of: dict[str, dict[str, float]]) -> list[str]:
    names = list(next(iter(rows_of.values())))
    table = [f"{constant:<14}" + "".join(f"{v[name]:>9.3f}" for name in names) for constant, v in rows_of.items()]
    return ["", title, f"{'':<14}" + "".join(f"{name:>9}" for name in names), *table]


def faults(report: dict) -> list[tuple[str, str, str, int]]:
    """Every fault that was met: (of what, what became of it, the fault, how many), in the order of the report."""
    found = [("segments", "dropped", what, n) for what, n in report["segments"]["dropped"].items()]
    found += [("segments", "mended", what, n) for what, n in report["mended"].items()]
    found += [("videos", "noted", what, n) for what, n in report["videos"].items() if what != "kept"]
    gone = "dropped: "
    found += [("frames", "dropped", k.removeprefix(gone), n) for k, n in report["frames"].items() if k.startswith(gone)]
    found += [("values", "noted", f"missing in {what}", n) for what, n in report["missing_values"].items()]
    return [row for row in found if row[-1]]
