"""`tiphys image build|load|list`: the flags. The work is in `images/command.py`, imported when there is some."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path


def add_command(
    command: Callable[[str, Callable[[argparse.Namespace], int | None], str], argparse.ArgumentParser],
) -> None:
    """Register with the command line."""
    parser = command("image", run, "Images without a registry: build from a Dockerfile, load an archive, list.")
    actions = parser.add_subparsers(dest="action", metavar="build|load|list", required=True)

    def action(name: str, text: str) -> argparse.ArgumentParser:
        sub = actions.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.add_argument("--data-dir", type=Path, metavar="DIR", default=argparse.SUPPRESS, help="the cluster's")
        return sub

    build = action("build", "Build an image from a Dockerfile, and give it to the nodes that run.")
    build.add_argument("path", type=Path, metavar="DIR", help="the directory with the Dockerfile and what it copies")
    build.add_argument("-t", "--tag", required=True, metavar="NAME:TAG", help="the image's name, for example hello:1")
    build.add_argument("-f", "--file", type=Path, help="the Dockerfile (DIR/Dockerfile)")
    load = action("load", "Load an OCI or docker archive, and give it to the nodes that run.")
    load.add_argument("path", type=Path, metavar="ARCHIVE", help="what `docker save` or `skopeo copy` wrote")
    action("list", "List what is on the shelf.")


def run(options: argparse.Namespace) -> None:
    """Raises ClusterError."""
    from tiphys.cluster.images import command

    if options.action == "build":
        command.build_image(options.data_dir, options.path, options.tag, options.file)
    elif options.action == "load":
        command.load_archive(options.data_dir, options.path)
    else:
        command.show_list(options.data_dir)
