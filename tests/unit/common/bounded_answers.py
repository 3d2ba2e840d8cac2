"""What the bounded process of test_common_bounded.py does when it is told to."""

import os
import signal
import time


def answer(request: bytes) -> bytes:
    match request:
        case b"pid":
            return str(os.getpid()).encode()
        case b"spin":
            while True:
                pass
        case b"hoard":
            return bytes(2**30)
        case b"die":
            os.kill(os.getpid(), signal.SIGKILL)
        case b"sleep":
            time.sleep(600)
        case b"print":
            print("something")
            return b"printed"
    return request
