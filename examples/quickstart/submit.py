"""Submit a job, watch it, and print its result: run it beside ``penstock dev``."""

from penstock.client import ChunkEvent, Client

with Client() as client:
    job = client.submit("greet", {"name": "world"})
    for event in job.watch():
        if isinstance(event, ChunkEvent):
            print(event.text, end="", flush=True)
    print()
    print(job.result())
