"""A zip from elsewhere, unpacked with care: every member is looked at before the first is written."""

import os
import re
import shutil
import stat
import zipfile
import zlib
from pathlib import Path

from emo_ssl.utils.io import UserError, require_space
from emo_ssl.utils.progress import Progress

CHUNK = 1 << 16
MEGABYTE = 1e6
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
COLLISION = (FileExistsError, NotADirectoryError)


def unpack(archive: Path, folder: Path, most_files: int, most_bytes: int, advice: str) -> None:
    """Write the members below `folder` and over nothing; what to do about a bad archive is the caller's `advice`.

    The sizes that an archive declares bind it: zipfile reads no byte beyond them. After a failure half-way the caller
    removes what is there.
    """

    def refused(what: str) -> UserError:
        return UserError(f"{archive.name}: {what}, nothing was kept; {advice}.")

    try:
        with zipfile.ZipFile(archive) as bundle:
            members = bundle.infolist()
            size = sum(member.file_size for member in members)
            if all(member.is_dir() for member in members):
                raise refused("it holds no file")
            if len(members) > most_files:
                raise refused(f"it holds {len(members):,} members where {most_files:,} are plenty")
            if size > most_bytes:
                raise refused(
                    f"it would become {size / MEGABYTE:,.0f} MB where {most_bytes / MEGABYTE:,.0f} are plenty"
                )
            for member in members:
                if fault := fault_of(member):
                    raise refused(f"its member {member.orig_filename!r} {fault}")
            require_space(folder, size)
            with Progress("unpacking", size / MEGABYTE, "MB") as bar:
                for member in members:
                    try:
                        write_member(bundle, member, folder)
                    except COLLISION as problem:
                        raise refused(f"its member {member.orig_filename!r} would overwrite another") from problem
                    bar.advance(member.file_size / MEGABYTE)
    except UNREADABLE as problem:
        raise refused(f"it is not a readable zip ({problem})") from problem


def parts_of(member: zipfile.ZipInfo) -> list[str]:
    return member.orig_filename.removesuffix("/").split("/")


def fault_of(member: zipfile.ZipInfo) -> str | None:
    # A part that is empty or only dots stands for "/x", "x//y" or "../x". Windows drops dots and spaces at the end of
    # a name, and takes \ for a slash and : for a drive.
    if re.search(r"[\\:\x00-\x1f]", member.orig_filename) or not all(part.strip(". ") for part in parts_of(member)):
        return "has a name that could lead out of the folder"
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    return None


def write_member(bundle: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    target = folder.joinpath(*parts_of(member))
    if member.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with bundle.open(member) as content, target.open("xb") as stream:
        shutil.copyfileobj(content, stream, CHUNK)
        stream.flush()
        os.fsync(stream.fileno())
