"""Penstock without its SDK: generated stubs alone, as in any language that gRPC knows."""
