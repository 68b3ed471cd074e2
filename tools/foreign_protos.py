"""Writes the descriptors of the foreign protos that a client meets: health, and error details.

They are those of the Python packages installed, so that nothing is fetched and no copy is kept.
usage: python tools/foreign_protos.py >FILE
"""

import sys

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2


def main() -> None:
    """Write a FileDescriptorSet, each file after those it imports."""
    found: dict[str, FileDescriptor] = {}

    def add(file: FileDescriptor) -> None:
        for dependency in file.dependencies:
            add(dependency)
        found.setdefault(file.name, file)

    for module in (health_pb2, status_pb2, error_details_pb2):
        add(module.DESCRIPTOR)
    descriptors = FileDescriptorSet()
    for file in found.values():
        file.CopyToProto(descriptors.file.add())
    sys.stdout.buffer.write(descriptors.SerializeToString())


if __name__ == "__main__":
    main()
