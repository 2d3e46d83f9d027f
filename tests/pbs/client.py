"""qsub, qselect, qstat and qdel of the stand-in: what was typed goes to its server, and the answer comes back.

python -I -S client.py SOCKET PROGRAM ARGUMENT ...
"""

from __future__ import annotations

import json
import os
import socket
import sys


def main() -> int:
    """Ask, print, and exit as the server says."""
    address, program, *arguments = sys.argv[1:]
    request = {
        "program": program,
        "arguments": arguments,
        "cwd": os.getcwd(),
        "environment": dict(os.environ),
    }
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address)
        except OSError:
            print(
                f"Connection refused\n{program}: cannot connect to server pbs (errno=111)",
                file=sys.stderr,
            )
            return 111
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile() as answered:
            answer = json.loads(answered.read())
    sys.stdout.write(answer["out"])
    sys.stderr.write(answer["err"])
    return int(answer["code"])


sys.exit(main())
