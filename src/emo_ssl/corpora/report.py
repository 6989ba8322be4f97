"""The report of a prepared corpus as a table that a person can read."""


def text_table(report: dict) -> str:
    """The report as aligned lines; the sums that must hold are spelled out."""
    segments, frames = report["segments"], report["frames"]
    lost = sum(segments["dropped"].values())
    lines = [f"segments: {segments['in']:,} in = {segments['kept']:,} kept + {lost:,} dropped"]
    lines += rows("dropped", segments["dropped"])
    lines += rows("mended and kept", report["mended"])
    lines += [
        "",
        "by split",
        *(f"  {name:<8}{v['in']:>9,} in{v['kept']:>9,} kept" for name, v in report["by_split"].items()),
    ]
    gone = {name.removeprefix("dropped: "): n for name, n in frames.items() if name.startswith("dropped")}
    lines += ["", f"frames: {frames['in']:,} in = {frames['kept']:,} kept + {sum(gone.values()):,} dropped"]
    lines += rows("dropped", gone)
    lines += rows("missing values (not finite in the file)", report["missing_values"])
    lines += ["", *rows("videos", report["videos"])]
    if report["files"]:
        lines += ["", *(f"{what} in {name}" for what, name in report["files"].items())]
    if report["label_columns_not_used"]:
        lines += ["", f"label columns not used: {', '.join(report['label_columns_not_used'])}"]
    return "\n".join(lines) + "\n"


def rows(title: str, counts: dict[str, int]) -> list[str]:
    shown = {name: n for name, n in counts.items() if n}
    return [f"  {title}:", *(f"    {n:>12,}  {name}" for name, n in shown.items())] if shown else []
