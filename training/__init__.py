"""One accelerate loop and the tasks it runs; the library never imports from here."""

import logging

# It remarks at every start on kernels that only newer releases look for.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
