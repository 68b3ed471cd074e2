from penstock.v1 import job_pb2 as _job_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class InvalidateCacheRequest(_message.Message):
    __slots__ = ("targets",)
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    targets: _containers.RepeatedCompositeFieldContainer[CacheTarget]
    def __init__(self, targets: _Optional[_Iterable[_Union[CacheTarget, _Mapping]]] = ...) -> None: ...

class CacheTarget(_message.Message):
    __slots__ = ("type", "tag", "entry")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    type: str
    tag: str
    entry: CacheEntry
    def __init__(self, type: _Optional[str] = ..., tag: _Optional[str] = ..., entry: _Optional[_Union[CacheEntry, _Mapping]] = ...) -> None: ...

class CacheEntry(_message.Message):
    __slots__ = ("type", "key", "payload")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    type: str
    key: str
    payload: _job_pb2.Content
    def __init__(self, type: _Optional[str] = ..., key: _Optional[str] = ..., payload: _Optional[_Union[_job_pb2.Content, _Mapping]] = ...) -> None: ...

class InvalidateCacheResponse(_message.Message):
    __slots__ = ("durability",)
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    durability: _job_pb2.Durability
    def __init__(self, durability: _Optional[_Union[_job_pb2.Durability, str]] = ...) -> None: ...
