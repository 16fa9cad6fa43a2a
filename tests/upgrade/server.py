"""A PostgreSQL server that has the install scripts of released versions, which are installed nowhere.

PostgreSQL finds its files from where its program lies. So a copy of the program, among links to the real files, has the
released scripts beside the installed ones, and the real server's folders stay as they are.
"""

import lzma
import os
import shutil
import subprocess
from pathlib import Path

from singularity_lab.postgres import bin_folder

RELEASES = Path(__file__).resolve().parent / "releases"


def make_server(folder: Path) -> Path:
    """Make such a server in an empty folder; return the folder of its program."""
    programs, library, share = (real_folder(name) for name in ("bindir", "pkglibdir", "sharedir"))
    root = os.path.commonpath([programs, library, share])
    own_programs, own_library, own_share = (
        folder / place.relative_to(root) for place in (programs, library, share)
    )
    own_programs.mkdir(parents=True)
    shutil.copy(programs / "postgres", own_programs)
    own_library.symlink_to(library)
    link_all(share, own_share)
    (own_share / "extension").unlink()
    link_all(share / "extension", own_share / "extension")
    for script in RELEASES.glob("*.sql.xz"):
        place = own_share / "extension" / script.stem
        place.unlink(missing_ok=True)
        place.write_bytes(lzma.decompress(script.read_bytes()))
    for path in folder.rglob("*"):  # the server may be another user
        if not path.is_symlink():
            path.chmod(0o755)
    return own_programs


def real_folder(name: str) -> Path:
    """Return a folder of the real server as pg_config names it."""
    return Path(subprocess.check_output([bin_folder() / "pg_config", f"--{name}"], text=True).strip())


def link_all(there: Path, here: Path) -> None:
    """Make a folder of links to everything in another one."""
    here.mkdir(parents=True)
    for path in there.iterdir():
        (here / path.name).symlink_to(path)
