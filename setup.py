"""The hardware sources lie beside the package in a checkout and inside it in a wheel; the rest is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SOURCES = ("hls", "overlays")  # what dsodenet.sources looks for


class BuildWithSources(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return  # the checkout itself is found
        for name in SOURCES:
            target = Path(self.build_lib) / "dsodenet" / "sources" / name
            shutil.rmtree(target, ignore_errors=True)  # of an earlier build
            shutil.copytree(Path(__file__).parent / name, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))


setup(cmdclass={"build_py": BuildWithSources})
