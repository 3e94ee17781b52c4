from __future__ import annotations

import subprocess
import sys
import textwrap

SCRIPT = """
    import time
    from fakeexplain.workers import worker_pool

    def large():
        return bytes(400_000_000)

    if __name__ == "__main__":
        try:
            with worker_pool(1) as pool:
                future = pool.submit(large)
                while not pool._result_queue._reader.poll():
                    time.sleep(0.001)
                raise KeyboardInterrupt  # while the worker is writing
        except KeyboardInterrupt:
            print("ended")
"""


def test_a_pool_ends_although_a_worker_was_stopped_in_the_middle_of_its_answer(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "ended\n", done.stderr
