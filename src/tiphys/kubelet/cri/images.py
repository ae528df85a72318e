"""CRI messages of the image service. Field numbers are facts of `runtime.v1`.

Source: staging/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto.
"""

from typing import Annotated

from tiphys.api.meta.schema import Struct, proto
from tiphys.kubelet.cri.common import ImageSpec, Int64Value, PodSandboxConfig, UInt64Value


class AuthConfig(Struct):
    username: Annotated[str, proto(1)] = ""
    password: Annotated[str, proto(2)] = ""
    auth: Annotated[str, proto(3)] = ""
    server_address: Annotated[str, proto(4)] = ""
    identity_token: Annotated[str, proto(5)] = ""
    registry_token: Annotated[str, proto(6)] = ""


class ImageFilter(Struct):
    image: Annotated[ImageSpec | None, proto(1)] = None


class ListImagesRequest(Struct):
    filter: Annotated[ImageFilter | None, proto(1)] = None


class Image(Struct):
    id: Annotated[str, proto(1)] = ""
    repo_tags: Annotated[list[str], proto(2)] = []
    repo_digests: Annotated[list[str], proto(3)] = []
    size: Annotated[int, proto(4)] = 0
    uid: Annotated[Int64Value | None, proto(5)] = None
    username: Annotated[str, proto(6)] = ""
    spec: Annotated[ImageSpec | None, proto(7)] = None
    pinned: Annotated[bool, proto(8)] = False


class ListImagesResponse(Struct):
    images: Annotated[list[Image], proto(1)] = []


class ImageStatusRequest(Struct):
    image: Annotated[ImageSpec | None, proto(1)] = None
    verbose: Annotated[bool, proto(2)] = False


class ImageStatusResponse(Struct):
    image: Annotated[Image | None, proto(1)] = None
    info: Annotated[dict[str, str], proto(2)] = {}


class PullImageRequest(Struct):
    image: Annotated[ImageSpec | None, proto(1)] = None
    auth: Annotated[AuthConfig | None, proto(2)] = None
    sandbox_config: Annotated[PodSandboxConfig | None, proto(3)] = None


class PullImageResponse(Struct):
    image_ref: Annotated[str, proto(1)] = ""


class RemoveImageRequest(Struct):
    image: Annotated[ImageSpec | None, proto(1)] = None


class RemoveImageResponse(Struct):
    """Nothing."""


class ImageFsInfoRequest(Struct):
    """Nothing."""


class FilesystemIdentifier(Struct):
    mountpoint: Annotated[str, proto(1)] = ""


class FilesystemUsage(Struct):
    timestamp: Annotated[int, proto(1)] = 0
    fs_id: Annotated[FilesystemIdentifier | None, proto(2)] = None
    used_bytes: Annotated[UInt64Value | None, proto(3)] = None
    inodes_used: Annotated[UInt64Value | None, proto(4)] = None


class ImageFsInfoResponse(Struct):
    image_filesystems: Annotated[list[FilesystemUsage], proto(1)] = []
    container_filesystems: Annotated[list[FilesystemUsage], proto(2)] = []
