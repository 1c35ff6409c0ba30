"""Import, notebook and server are the same assistant."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from langgraph_sdk import get_sync_client
from nbformat.v4 import new_code_cell, new_notebook

from tests.conftest import QUESTION, ROOT
from tests.graphs.test_serve import FREEHOLD, _server
from tests.notebooks.run_notebook import run_notebook, text_of
from tests.one_answer import comparable, imported

CELL = """
import json

from freehold import Context, Workspace
from freehold.graphs import create_assistant
from tests.one_answer import comparable

with Workspace() as workspace:
    state = await create_assistant(workspace).ainvoke(
        {{"messages": [{{"role": "user", "content": {question!r}}}]}},
        {{"configurable": {{"thread_id": "t1"}}}},
        context=Context(user_id="ada"),
    )
print(json.dumps(comparable(state)))
"""


@pytest.mark.slow
def test_the_three_ways_in_give_the_same_answer(ingested: Path, tmp_path: Path) -> None:
    """One question on the same documents: the same answer, citations, scores, route and decisions from all three."""
    for way in ("import", "notebook", "server"):
        shutil.copytree(ingested, tmp_path / way)
    by_import = json.loads(json.dumps(comparable(imported(tmp_path / "import", QUESTION))))

    notebook = new_notebook(cells=[new_code_cell(CELL.format(question=QUESTION))])
    done = run_notebook(notebook, tmp_path / "notebook", ROOT)
    by_notebook = json.loads(text_of(done.cells[0]))

    with _server(FREEHOLD, tmp_path / "server", tmp_path / "run") as url, get_sync_client(url=url) as client:
        question = {"messages": [{"role": "user", "content": QUESTION}]}
        thread = client.threads.create()["thread_id"]
        state = client.runs.wait(thread, "assistant", input=question, context={"user_id": "ada"})
        by_server = json.loads(json.dumps(comparable(state)))

    assert by_import["citations"]
    assert by_import == by_notebook == by_server
