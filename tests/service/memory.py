"""A store in memory, for tests of what stands on one: all that `Store` promises but that it lasts."""

import threading
from types import MappingProxyType


class MemorySnapshot:
    def __init__(self, records=MappingProxyType({}), version=0):
        self._records = records
        self.version = version
        self._derived = {}

    def get(self, kind, key):
        return self._records.get((kind.KIND, key))

    def all(self, kind):
        return tuple(record for (name, _), record in sorted(self._records.items()) if name == kind.KIND)

    def derived(self, make):
        if make not in self._derived:
            self._derived[make] = make(self)
        return self._derived[make]


class MemoryTransaction(MemorySnapshot):
    def put(self, record):
        self._records[record.KIND, record.key] = record

    def delete(self, kind, key):
        return self._records.pop((kind.KIND, key), None) is not None


class MemoryStore:
    def __init__(self):
        self._lock = threading.Lock()
        self._state = MemorySnapshot()

    def snapshot(self):
        return self._state

    def change(self, work):
        with self._lock:
            transaction = MemoryTransaction(dict(self._state._records))
            result = work(transaction)
            self._state = MemorySnapshot(transaction._records, self._state.version + 1)
            return result

    def close(self):
        pass
