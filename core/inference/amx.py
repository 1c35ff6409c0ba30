"""Whether llama.cpp's kernels for Intel's AMX work in this installation."""

from __future__ import annotations

import logging
import subprocess
import sys
from functools import cache

__all__ = ["repacking_works"]

logger = logging.getLogger(__name__)

_TRIAL = """
import ctypes, sys, llama_cpp as llama
quiet = llama.llama_log_callback(lambda level, text, data: None)
llama.llama_log_set(quiet, ctypes.c_void_p(0))
llama.llama_backend_init()
model = llama.llama_model_load_from_file(sys.argv[1].encode(), llama.llama_model_default_params())
parameters = llama.llama_context_default_params()
parameters.embeddings = True
parameters.n_threads = parameters.n_threads_batch = 1
context = llama.llama_init_from_model(model, parameters)
tokens = (llama.llama_token * 64)(*range(1000, 1064))
sys.exit(llama.llama_decode(context, llama.llama_batch_get_one(tokens, 64)))
"""


@cache
def repacking_works() -> bool:
    """Whether weights may be loaded in the form that llama.cpp packs them in; where AMX is compiled in, it is tried.

    GCC drops the tiles' configuration as unused (llama.cpp's pull request 26954), and such a build dies of an illegal
    instruction at the first batch. So a child process reads one first, a quarter of a second once per process. A broken
    build works without repacked weights, at half the speed; `make setup` compiles one that works.
    """
    import llama_cpp

    if b"AMX_INT8 = 1" not in llama_cpp.llama_print_system_info():
        return True
    from freehold.models import EMBEDDING_MODEL, model_path

    trial = [sys.executable, "-c", _TRIAL, str(model_path(EMBEDDING_MODEL))]
    works = subprocess.run(trial, capture_output=True, check=False).returncode == 0  # noqa: S603 - our own code
    if not works:
        logger.warning(
            "llama.cpp was compiled with AMX kernels that crash; they are left out, which is slower. Compile it again "
            "with CMAKE_ARGS=\"-DCMAKE_CXX_FLAGS='-fno-tree-dse -fno-dse'\" pip install --force-reinstall "
            "--no-cache-dir llama-cpp-python."
        )
    return works
