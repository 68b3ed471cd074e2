"""The first job: a handler, and a program that submits to it."""
