"""Bytes to values and back. No sockets, clocks or files: server and client both stand on it."""
