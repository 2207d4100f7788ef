#!/usr/bin/env python3
"""Passes connections on: port-forwarder.py ADDRESS PORT TO-ADDRESS TO-PORT. Ends with its standard input."""
import asyncio
import sys

address, port, target, target_port = sys.argv[1:]


async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


async def serve(reader, writer):
    far_reader, far_writer = await asyncio.open_connection(target, int(target_port))
    await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))


async def main():
    server = await asyncio.start_server(serve, address, int(port))
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


asyncio.run(main())
