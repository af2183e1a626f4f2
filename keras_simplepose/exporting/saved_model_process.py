"""Runs a SavedModel's signatures in a process that has only TensorFlow: what is left when this package is gone.

    python saved_model_process.py FOLDER INPUTS.npz OUTPUTS.npz

Inputs are named "case/signature/argument", outputs "case/signature/result". Every case is run through
`tf.saved_model.load`, timed, and once more through a session, feeding and fetching by the names in the signature, which
is how TF Serving runs it; the results of that are named "case/signature@session/result".
"""

import os
import sys
import time
from collections import defaultdict
from typing import Any

import numpy as np

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # As the package sets it, and export/serving for TF Serving.

import tensorflow as tf  # noqa: E402

ROUNDS = 3  # The best of so many calls is the latency, after one that warms up.


def main(folder: str, inputs_path: str, outputs_path: str) -> None:
    """Runs every case and writes what came out."""
    cases: dict[tuple[str, str], dict[str, np.ndarray]] = defaultdict(dict)
    with np.load(inputs_path) as inputs:
        for name in inputs.files:
            case, signature, argument = name.split("/")
            value = inputs[name]
            # Bytes travel as uint8: NumPy's own strings lose trailing zeros.
            cases[case, signature][argument] = value.tobytes() if argument == "image_bytes" else value
    outputs: dict[str, Any] = {}
    loaded = tf.saved_model.load(folder)
    for (case, name), arguments in cases.items():
        function = loaded.signatures[name]
        tensors = {argument: tf.constant(value) for argument, value in arguments.items()}
        function(**tensors)
        seconds = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            results = {result: value.numpy() for result, value in function(**tensors).items()}
            seconds.append(time.perf_counter() - start)
        outputs |= {f"{case}/{name}/{result}": value for result, value in results.items()}
        outputs[f"{case}/{name}/seconds"] = min(seconds)
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        graph = tf.compat.v1.saved_model.load(session, ["serve"], folder)
        for (case, name), arguments in cases.items():
            signature = graph.signature_def[name]
            feeds = {signature.inputs[argument].name: value for argument, value in arguments.items()}
            fetches = {result: tensor.name for result, tensor in signature.outputs.items()}
            for result, value in session.run(fetches, feeds).items():
                outputs[f"{case}/{name}@session/{result}"] = value
    np.savez(outputs_path, allow_pickle=False, **outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
