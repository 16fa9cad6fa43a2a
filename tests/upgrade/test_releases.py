"""What is kept of released versions is what was released."""

import lzma
import re
from hashlib import sha256

from tests.upgrade.conftest import CURRENT, EXTENSIONS, RELEASED
from tests.upgrade.server import RELEASES

ROOT = RELEASES.parents[2]


def kept() -> dict[str, bytes]:
    """Return the released scripts, unpacked, and the wheels, by name."""
    scripts = {path.stem: lzma.decompress(path.read_bytes()) for path in RELEASES.glob("*.sql.xz")}
    return scripts | {path.name: path.read_bytes() for path in RELEASES.glob("*.whl")}


def test_nothing_released_has_changed() -> None:
    lines = (RELEASES / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    known = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert {name: sha256(content).hexdigest() for name, content in kept().items()} == known


def test_of_every_released_version_scripts_and_wheel_are_kept() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    dated = re.findall(r"^## (\S+) \(\d{4}-\d\d-\d\d\)$", changelog, re.MULTILINE)
    assert RELEASED == [version for version in reversed(dated) if version != CURRENT] != []
    upgrades = [f"--{old}--{version}" for at, version in enumerate(RELEASED) for old in RELEASED[:at]]
    scripts = [
        f"{extension}{path}.sql"
        for extension in EXTENSIONS
        for path in [*(f"--{v}" for v in RELEASED), *upgrades]
    ]
    wheels = [f"singularity-{version}-py3-none-any.whl" for version in RELEASED]
    assert sorted(kept()) == sorted([*scripts, *wheels])
