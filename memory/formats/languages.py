"""Programming languages by the endings of their files' names."""

from __future__ import annotations

__all__ = ["LANGUAGES"]

_ENDINGS = {
    "bash": "bash sh zsh",
    "batch": "bat cmd",
    "c": "c h",
    "clojure": "clj cljs",
    "cpp": "cc cpp cxx hh hpp hxx ino",
    "css": "css less scss",
    "csharp": "cs",
    "dart": "dart",
    "elixir": "ex exs",
    "erlang": "erl hrl",
    "fortran": "f90 f95",
    "fsharp": "fs",
    "go": "go",
    "graphql": "graphql",
    "groovy": "gradle groovy",
    "haskell": "hs",
    "ini": "cfg ini",
    "java": "java",
    "javascript": "cjs js jsx mjs",
    "julia": "jl",
    "kotlin": "kt kts",
    "lua": "lua",
    "nix": "nix",
    "objective-c": "m mm",
    "ocaml": "ml mli",
    "perl": "pl pm",
    "php": "php",
    "powershell": "ps1",
    "proto": "proto",
    "python": "py pyi pyw",
    "r": "r",
    "ruby": "rake rb",
    "rust": "rs",
    "scala": "sc scala",
    "sql": "sql",
    "svelte": "svelte",
    "swift": "swift",
    "terraform": "tf",
    "toml": "toml",
    "tsx": "tsx",
    "typescript": "cts mts ts",
    "vue": "vue",
    "yaml": "yaml yml",
    "zig": "zig",
}

LANGUAGES: dict[str, str] = {f".{ending}": name for name, endings in _ENDINGS.items() for ending in endings.split()}
"""Language of each ending."""
