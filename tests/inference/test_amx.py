from __future__ import annotations

import logging

import llama_cpp
import pytest

from freehold.inference import amx


@pytest.fixture(autouse=True)
def asked_anew() -> None:
    """The answer is kept for the process; each test asks again."""
    amx.repacking_works.cache_clear()


def test_a_build_without_amx_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the start of every process on other processors from a trial that it does not need."""
    monkeypatch.setattr(llama_cpp, "llama_print_system_info", lambda: b"CPU : AVX2 = 1 | ")
    monkeypatch.setattr(amx, "_TRIAL", "import sys; sys.exit(1)")
    assert amx.repacking_works()


@pytest.mark.parametrize(("trial", "works"), [("import os; os.kill(os.getpid(), 4)", False), (amx._TRIAL, True)])
def test_a_build_with_amx_is_used_where_it_does_not_crash(
    trial: str, works: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Protects the process from an illegal instruction, and tells its owner how to get the speed back."""
    if works and b"AMX_INT8 = 1" in llama_cpp.llama_print_system_info() and not amx.repacking_works():
        pytest.skip("this installation's build is the broken one")
    amx.repacking_works.cache_clear()
    monkeypatch.setattr(llama_cpp, "llama_print_system_info", lambda: b"CPU : AMX_INT8 = 1 | ")
    monkeypatch.setattr(amx, "_TRIAL", trial)
    with caplog.at_level(logging.WARNING):
        assert amx.repacking_works() is works
    assert ("CMAKE_ARGS" in caplog.text) is not works
