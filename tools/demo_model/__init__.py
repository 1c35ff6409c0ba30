"""The demonstration language model: corpus, examples, training, export, evaluation.

Only for rebuilding the file that ships; tools/README.md has the commands.
"""
