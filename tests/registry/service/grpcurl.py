"""What of grpcurl Cogment's document uses, by gRPC reflection: calls with `-plaintext -d @`, `list`, `describe`.

GRPCURL_PORT replaces the port of the address, so that lines of a document run as they are written.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

_KINDS = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}


def main(argv: Sequence[str]) -> int:
    words, data = [], ""
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "-d":
            data = rest.pop(0)
        elif word != "-plaintext":
            words.append(word)
    host, _, port = words[0].partition(":")
    address = f"{host}:{os.environ.get('GRPCURL_PORT', port)}"
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        if words[1] == "list" and len(words) == 2:
            print(*sorted(database.get_services()), sep="\n")
            return 0
        pool = DescriptorPool(database)
        if words[1] in ("list", "describe"):
            service = pool.FindServiceByName(words[2])
            print(*(f"{service.full_name}.{method.name}" for method in service.methods), sep="\n")
            return 0
        return call(channel, pool, words[1], sys.stdin.read() if data == "@" else data)


def call(channel: grpc.Channel, pool: DescriptorPool, name: str, text: str) -> int:
    service, _, method_name = name.rpartition("/")
    method = pool.FindServiceByName(service).methods_by_name[method_name]
    requests = (
        json_format.ParseDict(each, GetMessageClass(method.input_type)()) for each in values(text)
    )
    reply_class = GetMessageClass(method.output_type)
    made = getattr(channel, _KINDS[method.client_streaming, method.server_streaming])(
        f"/{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=reply_class.FromString,
    )
    try:
        replies = made(requests if method.client_streaming else next(requests), timeout=30)
        for reply in replies if method.server_streaming else [replies]:
            print(json_format.MessageToJson(reply), flush=True)
    except grpc.RpcError as error:
        print(f"ERROR:\n  Code: {error.code().name}\n  Message: {error.details()}", file=sys.stderr)
        return 64 + int(error.code().value[0])
    return 0


def values(text: str) -> Iterator[Any]:
    """The JSON objects of a text, one after the other."""
    decoder, at = json.JSONDecoder(), 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = decoder.raw_decode(text, at)
        yield value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
