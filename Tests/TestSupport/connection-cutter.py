"""Passes connections on to a port of 127.0.0.1 and cuts each one after some bytes, as bad networks do.

usage: connection-cutter.py PORT SEED LEAST MOST

Prints its own port. Each connection is cut after a random number of bytes from the server, LEAST to MOST, half of them
with a reset instead of an end. Ends when its standard input ends.
"""

import asyncio
import random
import socket
import struct
import sys

TARGET, SEED, LEAST, MOST = (int(word) for word in sys.argv[1:5])
RANDOM = random.Random(SEED)


async def serve(reader, writer):
    cut = RANDOM.randint(LEAST, MOST)
    reset = RANDOM.random() < 0.5
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", TARGET)

    async def up():
        try:
            while piece := await reader.read(65536):
                far_writer.write(piece)
                await far_writer.drain()
        except OSError:
            pass

    upward = asyncio.ensure_future(up())
    passed = 0
    try:
        while passed < cut and (piece := await far_reader.read(min(16384, cut - passed))):
            passed += len(piece)
            writer.write(piece)
            await writer.drain()
        if passed >= cut and reset:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
    except OSError:
        pass
    upward.cancel()
    writer.close()
    far_writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
