"""The parts of the benchmark suite; bench/bench.py puts them together."""
