"""What `freehold memory import` does with a file: all of it is checked before anything is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freehold.cli.memory_file import Line, read
from freehold.errors import MemoryEntryError, UserError

if TYPE_CHECKING:
    from freehold.context import Context
    from freehold.memory import LongTermMemory
    from freehold.memory.portable import Entry

__all__ = ["Import"]


@dataclass(frozen=True)
class Import:
    """A file of memories that can be imported whole."""

    lines: list[Line]
    entries: list[Entry]
    context: Context

    @classmethod
    def read(cls, data: bytes, name: str, context: Context) -> Import:
        """Check a file.

        Args:
            data: Its content.
            name: What messages call it.
            context: Whose the memories become.

        Raises:
            UserError: A line cannot be used; the message gives its number and the reason.
        """
        from freehold.memory.portable import Entry

        found = read(data, name)
        entries = []
        for line in found:
            try:
                entries.append(Entry.read(line.entry, context, line.number))
            except MemoryEntryError as error:
                raise UserError(f"{name}, line {line.number}: {error.reason}. Nothing was imported.") from error
        return cls(found, entries, context)

    def run(self, memory: LongTermMemory, *, dry_run: bool) -> dict[str, int]:
        """Store what is new, or only count it: `imported`, `known`, `expired`."""
        from freehold.portal import run_sync

        alive = [index for index, entry in enumerate(self.entries) if not entry.is_expired]
        if dry_run:
            imported = len({_mark(self.entries[index]) for index in alive} - self._known(memory))
        else:
            imported = len(run_sync(memory.restore([self.lines[index].entry for index in alive], self.context)))
        return {"imported": imported, "known": len(alive) - imported, "expired": len(self.entries) - len(alive)}

    def _known(self, memory: LongTermMemory) -> set[Any]:
        from freehold.memory.portable import Entry
        from freehold.portal import run_sync

        exported = run_sync(memory.export(self.context))
        return {_mark(Entry.read(entry, self.context, number)) for number, entry in enumerate(exported, 1)}


def _mark(entry: Entry) -> tuple[str, str]:
    """What makes a memory the same as another: its text to the letter, for the same audience."""
    from freehold.memory.memory_rows import fingerprint

    return fingerprint(entry.text), entry.place.audience
