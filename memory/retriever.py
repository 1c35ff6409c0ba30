"""The documents as a LangChain retriever."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from freehold.memory.documents import Documents
from freehold.portal import run_sync

__all__ = ["DocumentRetriever"]


class DocumentRetriever(BaseRetriever):
    """Finds passages for a question; a document's metadata is the `Passage` without its text.

    Example:
        >>> retriever = DocumentRetriever(documents=documents)  # doctest: +SKIP
        >>> retriever.invoke("What does a heron eat?")[0].metadata["source"]  # doctest: +SKIP
        'birds.md'
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    documents: Documents
    limit: int = 4
    """Most passages."""

    async def _find(self, query: str) -> list[Document]:
        return [
            Document(
                id=passage["id"],
                page_content=passage["text"],
                metadata={key: value for key, value in passage.items() if key != "text"},
            )
            for passage in await self.documents.search(query, self.limit)
        ]

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun | None = None,  # noqa: ARG002 - LangChain passes it
        **_: Any,
    ) -> list[Document]:
        return run_sync(self._find(query))

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun | None = None,  # noqa: ARG002 - LangChain passes it
        **_: Any,
    ) -> list[Document]:
        return await self._find(query)
