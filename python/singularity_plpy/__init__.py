"""What the PL/Python functions of the database call: plain modules that never import plpy."""

import os

# A database session must have one thread only. numpy and tokenizers read these when they are imported.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
