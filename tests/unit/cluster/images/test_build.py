import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from tiphys.cluster.failure import ClusterError
from tiphys.cluster.images.build import Image, build, full_reference
from tiphys.cluster.images.shelf import Shelf


def made(tmp_path: Path, dockerfile: str) -> Image:
    context = tmp_path / "context"
    context.mkdir(exist_ok=True)
    (context / "Dockerfile").write_text(dockerfile)
    return build(context, context / "Dockerfile", Shelf(tmp_path / "shelf"))


def entries(layer: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        return {member.name: member for member in tar.getmembers()}


def test_follows_the_instructions(tmp_path: Path) -> None:
    context = tmp_path / "context"
    (context / "site").mkdir(parents=True)
    (context / "site" / "index.html").write_text("hello")
    image = made(
        tmp_path,
        "ARG PORT=8080\nFROM scratch\n# a comment\nENV HOME=/srv PORT=${PORT}\nWORKDIR $HOME\n"
        "COPY --chmod=600 --chown=7:8 \\\n  site www/\nEXPOSE $PORT\nUSER 7\n"
        'ENTRYPOINT ["/server"]\nCMD --port $PORT\n',
    )
    found = entries(image.layers[0])
    assert (found["srv/www/index.html"].mode, found["srv/www/index.html"].uid, found["srv/www/index.html"].gid) == (
        0o600,
        7,
        8,
    )
    assert image.config.environment == {"HOME": "/srv", "PORT": "8080"}
    assert image.config.exposed_ports == ("8080/tcp",)
    assert (image.config.user, image.config.working_dir) == ("7", "/srv")
    assert list(image.config.entrypoint) == ["/server"]
    assert list(image.config.command) == ["/bin/sh", "-c", "--port $PORT"]


def test_the_same_files_make_the_same_image(tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "a").write_text("x")
    digests = {hashlib.sha256(made(tmp_path, "FROM scratch\nCOPY a /a").layers[0]).hexdigest() for _ in range(2)}
    assert len(digests) == 1


def test_builds_upon_the_shelf(tmp_path: Path) -> None:
    base = made(tmp_path, 'FROM scratch\nENV A=1\nCMD ["/a"]')
    Shelf(tmp_path / "shelf").write(full_reference("base:1"), base.layers, base.config)
    image = made(tmp_path, "FROM base:1\nENV B=2")
    assert image.config.environment == {"A": "1", "B": "2"}
    assert list(image.config.command) == ["/a"]


@pytest.mark.parametrize(
    ("dockerfile", "problem"),
    [
        ("", "begins with FROM"),
        ("COPY a /", "begins with FROM"),
        ("FROM scratch\nRUN make", "Dockerfile line 2: RUN make: RUN needs a container"),
        ("FROM scratch\nBUILD x", "unknown or unsupported instruction BUILD"),
        ("FROM scratch\nCOPY ../secret /", "outside"),
        ("FROM scratch\nCOPY missing /", "missing is not in"),
        ("FROM scratch\nCOPY --chmod=rwx a /", "--chmod needs numbers"),
        ("FROM nosuch", "nosuch is neither on the shelf"),
        ('FROM scratch\nCMD ["a', "not a JSON list"),
        ("FROM scratch\nFROM scratch", "only one stage"),
        ("FROM scratch\nENV A=1 \\", "ends with a backslash"),
    ],
)
def test_refuses_with_the_line(tmp_path: Path, dockerfile: str, problem: str) -> None:
    (tmp_path / "secret").write_text("")
    with pytest.raises(ClusterError, match=problem):
        made(tmp_path, dockerfile)


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("hello", "docker.io/library/hello:latest"),
        ("hello:1", "docker.io/library/hello:1"),
        ("me/hello:1", "docker.io/me/hello:1"),
        ("localhost:5000/hello:1", "localhost:5000/hello:1"),
        ("registry.example/a/b:v2", "registry.example/a/b:v2"),
    ],
)
def test_names_are_completed_as_the_runtimes_do(short: str, full: str) -> None:
    assert full_reference(short) == full


def test_a_bad_name_is_refused() -> None:
    with pytest.raises(ClusterError, match="is not an image name"):
        full_reference("Not A Name")
