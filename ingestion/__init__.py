from __future__ import annotations

import os

# numpy starts a thread for each core when it is imported, and each takes 40 MB of address space:
# with 64 cores, nearly all that a run may take. No array here is large enough for a second thread.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
