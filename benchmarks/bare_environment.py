"""From an empty environment with a PyTorch for the CPU to all commands of the README, as they stand there.

    python benchmarks/bare_environment.py                       # about 15 minutes on two cores; needs the network
    python benchmarks/bare_environment.py --torch torch==2.13.0 --no-index   # torch from where pip is told to look

It makes the wheel and an environment, installs PyTorch from its index of CPU builds, then the wheel. The wheel must
leave that PyTorch there and bring no torchvision and nothing of CUDA. Then every command of the README runs, in the
order of the page, in a folder that has only what the page shows. Exits with 1 at the first that fails.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
ELSEWHERE = ("--install-completion", "--open")  # these change the reader's shell and open a browser


def commands(text: str) -> list[str]:
    """The `initbench ...` lines of a page's code, without comments."""
    return [line.split("  #")[0].strip() for line in re.findall(r"^    (initbench .*)$", text, re.MULTILINE)]


def packages(python: Path) -> dict[str, str]:
    """Names and versions of what is installed."""
    frozen = output(python, "-m", "pip", "list", "--format", "freeze")
    return dict(line.lower().split("==") for line in frozen.splitlines())


def output(*command: str | Path, cwd: Path | None = None) -> str:
    """What a command prints; SystemExit with it where the command fails."""
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{shlex.join(map(str, command))}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def megabytes(folder: Path) -> float:
    """Size of all files below a folder."""
    return sum(file.lstat().st_size for file in folder.rglob("*")) / 1e6


def install(environment: Path, torch: str, index: list[str]) -> Path:
    """An environment's Python, with torch and then the wheel in it."""
    venv.create(environment, with_pip=True)
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    output(python, "-m", "pip", "install", torch, *index)
    before = packages(python)
    output(python, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", environment / "wheel", ROOT)
    (wheel,) = (environment / "wheel").glob("*.whl")
    output(python, "-m", "pip", "install", wheel)
    after = packages(python)
    assert after["torch"] == before["torch"], f"torch {before['torch']} became {after['torch']}"
    brought = sorted(name for name in after if name.startswith(("torchvision", "nvidia", "cuda")))
    assert not brought, f"brought {', '.join(brought)}"
    print(f"torch {after['torch']} was kept; {megabytes(environment):,.0f} MB in all", flush=True)
    return python


def run_readme(folder: Path, scripts: Path) -> None:
    """Run each command of the README in a folder, with the environment's commands first in the path."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, code in re.findall(r"```python\n# (\w+)\.py\n(.*?)```", text, re.DOTALL):
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
    environment = os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "120"}
    environment.pop("PYTHONPATH", None)
    for command in commands(text):
        words = [word for word in shlex.split(command) if word not in ELSEWHERE]
        if "before/" in words:  # two folders of the reader's
            for name in ("before", "after"):
                subprocess.run(["initbench", "run", "init=he", "--out", name], cwd=folder, env=environment, check=True)
        if "NAME" in words:  # of one of the reader's sweeps
            words[words.index("NAME")] = min(path.name for path in (folder / "results/sweeps").iterdir())
        begun = time.perf_counter()
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        print(f"{done.returncode} {time.perf_counter() - begun:6.1f} s  {command}", flush=True)
        if done.returncode:
            raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", default="torch", help="what pip is to install first")
    parser.add_argument("--no-index", action="store_true", help="leave PyTorch's index of CPU builds out")
    options = parser.parse_args()
    index = [] if options.no_index else ["--index-url", CPU_INDEX]
    with tempfile.TemporaryDirectory() as place:
        python = install(Path(place, "environment"), options.torch, index)
        folder = Path(place, "reader")
        folder.mkdir()
        run_readme(folder, python.parent)
    print(f"all commands of the README run on Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
