#!/usr/bin/env bash
# safetensors: the same tensors with the same metadata make a different file each time, once there are two entries of metadata.
#
# Weights of this field are named by the SHA-256 of their file. `save` writes the entries of `__metadata__` in the order
# of a hash table with a random seed, so that twenty calls in one process make up to twenty digests. Tensors are
# sorted, and one entry has one order: without metadata, or with a single entry (a JSON text of all one wants to say), the
# file is always the same.
#
# Seen with safetensors 0.8.0: "6 entries: 19 digests of 20 files, 2 entries: 2, 1 entry: 1, none: 1", all with equal sizes and
# equal tensors.
# Exits 0 while that is so, 1 once it is not.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
"$place/venv/bin/python" - <<'PY'
import hashlib
import sys

import numpy as np
import safetensors
from safetensors.numpy import load, save

print("safetensors", safetensors.__version__)
tensors = {"first": np.arange(6, dtype=np.float32), "second": np.ones((2, 3), np.float32)}
digests, sizes = {}, set()
for count in (6, 2, 1, 0):
    metadata = {f"key{index}": "value" for index in range(count)} or None
    files = [save(tensors, metadata=metadata) for _ in range(20)]
    digests[count] = len({hashlib.sha256(one).hexdigest() for one in files})
    sizes.add(len({len(one) for one in files}))
    assert all(np.array_equal(load(one)[name], value) for one in files for name, value in tensors.items())
    print(f"{count} entries: {digests[count]} digests of {len(files)} files")
sys.exit(0 if digests[6] > 10 and digests[2] == 2 and digests[1] == digests[0] == 1 and sizes == {1} else 1)
PY
