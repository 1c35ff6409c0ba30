"""The documents as a LangChain retriever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from freehold.errors import UserError
from freehold.memory.documents import Documents
from freehold.memory.fusion import Fusion
from freehold.portal import run_sync

if TYPE_CHECKING:
    from freehold.state import Passage

__all__ = ["DocumentRetriever"]

_OPTIONS = ("limit", "within", "where", "diversity", "parents", "reranker", "fusion")


class DocumentRetriever(BaseRetriever):
    """Finds passages for a question; a document's metadata is the `Passage` without its text.

    Every option can be given anew for one call: `retriever.invoke(question, where={"format": "pdf"}, limit=8)`. The
    call's `where` narrows the retriever's own and never widens it.

    Example:
        >>> retriever = DocumentRetriever(documents=documents)  # doctest: +SKIP
        >>> retriever.invoke("What does a heron eat?")[0].metadata["source"]  # doctest: +SKIP
        'birds.md'
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    documents: Documents
    limit: int = Field(default=4, ge=1)
    """Most passages."""
    where: Any = None
    """Only passages that meet these conditions, as `Documents.search` takes them."""
    diversity: float = Field(default=0.0, ge=0, le=1)
    """How much a passage loses for what better ones say already."""
    parents: int = Field(default=0, ge=0)
    """Characters up to which a passage is widened by what stands around it in its section; 0 leaves it as it is."""
    reranker: Any = None
    """A `LlamaReranker`, or anything with `async ascore(pairs)`, that orders the best passages anew."""

    fusion: Fusion = "convex"
    """How the rankings by meaning and by words become one: "convex" or "rrf"."""

    async def _find(self, query: str, options: dict[str, Any]) -> list[Document]:
        if unknown := sorted(set(options) - set(_OPTIONS)):
            raise UserError(f"The retriever takes no {', '.join(unknown)}; there are {', '.join(_OPTIONS)}.")
        given = {
            "limit": self.limit,
            "diversity": self.diversity,
            "parents": self.parents,
            "reranker": self.reranker,
            "fusion": self.fusion,
            **options,
            "where": [self.where, options.get("where")],
        }
        passages = await self.documents.search(query, **given)
        return [_document(passage) for passage in passages]

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun | None = None,  # noqa: ARG002 - LangChain passes it
        **options: Any,
    ) -> list[Document]:
        return run_sync(self._find(query, options))

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun | None = None,  # noqa: ARG002 - LangChain passes it
        **options: Any,
    ) -> list[Document]:
        return await self._find(query, options)


def _document(passage: Passage) -> Document:
    return Document(
        id=passage["id"],
        page_content=passage["text"],
        metadata={key: value for key, value in passage.items() if key != "text"},
    )
