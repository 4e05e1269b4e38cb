"""Speed and memory of the library, beside what else could be used: ``python -m benchmarks``."""
