"""What takes minutes without being a training: computed once, and kept like a run."""

import ast
import hashlib
import inspect
import json
import time

from a1.files import atomic_write
from a1.records import find
from a1.setup import RETRAIN, RUNS


def compute_once(name, function, data, uses=(), **config):
    """`function(data, **config)`, JSON: read where the same function and those it `uses` (comments
    and layout apart) computed it before from the same config and data; else computed and kept."""
    code = "\n".join(ast.unparse(ast.parse(inspect.getsource(f))) for f in (function, *uses))
    recipe = json.loads(json.dumps(config)) | {"code": hashlib.sha256(code.encode()).hexdigest()}
    made_by = {"recipe": recipe, "data": data.id, "probe": {}}
    paths = [RUNS / f"{name}.json", *(RUNS / f"{name}.{k}.json" for k in range(2, 100))]
    record = None if RETRAIN else find(paths, made_by)
    if record is None:
        print(f"{name}: no record, computing now", flush=True)
        result, today = function(data, **config), time.strftime("%Y-%m-%d")
        path = next(path for path in paths if RETRAIN or not path.exists())
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            kept = made_by | {"result": result, "arrays": [], "date": today}
            file.write(json.dumps(kept, indent=1).encode())
        record = find([path], made_by)
    return record["result"]
