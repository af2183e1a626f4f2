import base64
import json
import runpy
import subprocess
import sys
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf
from export_models import photograph

from keras_simplepose import PosePredictor

FOLDER = Path(__file__).parents[2] / "export"
BOXES = [[20, 10, 60, 90], [100, 60, 90, 90]]
FLAGS = [flag for box in BOXES for flag in ("--box", ",".join(map(str, box)))]


@pytest.fixture(scope="module")
def signature(exported):
    loaded = tf.saved_model.load(str(exported / "exported/savedmodel/1"))
    yield loaded.signatures["serving_default"]
    del loaded


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "photo.png"
    cv2.imwrite(str(path), photograph()[..., ::-1])
    return path


@pytest.fixture(scope="module")
def expected(exported):
    return PosePredictor.load(exported / "pose.keras")(photograph(), BOXES)


def run(script, *arguments, forbidden=()):
    """Runs a client; importing what is forbidden fails in it."""
    blocked = "".join(f"sys.modules[{name!r}] = None; " for name in ("keras_simplepose", *forbidden))
    program = f"import sys, runpy; {blocked}sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-I", "-c", program, str(FOLDER / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_no_client_imports_the_package():
    for path in FOLDER.rglob("*.py"):
        assert "keras_simplepose import" not in path.read_text() and "import keras_simplepose" not in path.read_text()


def test_tflite_client_without_tensorflow(exported, picture, expected):
    model = exported / "exported/pose_float32.tflite"
    done = run("tflite_client.py", model, picture, *FLAGS, forbidden=("tensorflow", "keras"))
    assert done.returncode == 0, done.stderr
    for line, keypoints in zip(done.stdout.splitlines(), expected.keypoints, strict=True):
        answer = json.loads(line)["keypoints"]
        assert list(answer) == list(expected.skeleton.keypoints)
        np.testing.assert_allclose(list(answer.values()), keypoints, atol=2e-3)


def test_tflite_client_names_a_bad_file(picture):
    pytest.importorskip("ai_edge_litert")
    done = run("tflite_client.py", picture, picture, forbidden=("tensorflow",))
    assert done.returncode == 1 and done.stderr.startswith("error: ")


@pytest.fixture(scope="module")
def rest_url(signature):
    """A server that answers as TF Serving's REST interface does, with the SavedModel behind it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                assert self.path == "/v1/models/pose:predict" and body["signature_name"] == "serving_default"
                image = tf.constant(base64.b64decode(body["inputs"]["image_bytes"]["b64"], validate=True))
                answer = signature(image_bytes=image, boxes=tf.constant(body["inputs"]["boxes"], tf.float32))
                status, reply = 200, {"outputs": {name: value.numpy().tolist() for name, value in answer.items()}}
            except tf.errors.InvalidArgumentError as error:
                status, reply = 400, {"error": error.message}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(reply).encode())

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/models/pose"
    server.shutdown()
    thread.join()
    server.server_close()


def test_rest_client(rest_url, picture, expected):
    pytest.importorskip("requests")
    done = run("rest_client.py", picture, *FLAGS, "--url", rest_url, forbidden=("tensorflow",))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    np.testing.assert_allclose(answer["keypoints"], expected.keypoints, atol=2e-3)
    np.testing.assert_allclose(answer["scores"], expected.scores, atol=1e-5)


def test_rest_client_says_what_the_server_says(rest_url):
    pytest.importorskip("requests")
    done = run("rest_client.py", __file__, *FLAGS, "--url", rest_url, forbidden=("tensorflow",))
    assert done.returncode == 1 and done.stderr.startswith("error: ") and "image" in done.stderr


def test_grpc_client(signature, picture, expected):
    grpc = pytest.importorskip("grpc")
    predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2")
    service = pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")

    class Servicer(service.PredictionServiceServicer):
        def Predict(self, request, context):
            assert request.model_spec.signature_name == "serving_default" and request.model_spec.name == "pose"
            inputs = {name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in request.inputs.items()}
            response = predict_pb2.PredictResponse()
            for name, value in signature(**inputs).items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
            return response

    server = grpc.server(futures.ThreadPoolExecutor(2))
    service.add_PredictionServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        done = run("grpc_client.py", picture, *FLAGS, "--address", f"127.0.0.1:{port}")
        empty = run("grpc_client.py", picture, "--address", f"127.0.0.1:{port}")
    finally:
        server.stop(None)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout)["keypoints"], expected.keypoints, atol=2e-3)
    assert empty.returncode == 0 and json.loads(empty.stdout) == {"keypoints": [], "scores": []}


def test_serving_configurations_parse():
    text_format = pytest.importorskip("google.protobuf.text_format")
    config_pb2 = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    config = text_format.Parse((FOLDER / "serving/models.config").read_text(), config_pb2.ModelServerConfig())
    assert config.model_config_list.config[0].name == "pose"
    sizes = [
        int(line.split(":")[1])
        for line in (FOLDER / "serving/batching.config").read_text().splitlines()
        if line.startswith("allowed_batch_sizes")
    ]
    # TF Serving wants them ascending and the last to be the largest batch.
    assert (
        sizes == sorted(sizes)
        and f"max_batch_size {{ value: {sizes[-1]} }}" in (FOLDER / "serving/batching.config").read_text()
    )


def test_the_rest_client_asks_for_everybody_without_boxes():
    client = runpy.run_path(str(FOLDER / "rest_client.py"))
    body = client["payload"](b"photo", None)
    assert body["signature_name"] == "persons" and list(body["inputs"]) == ["image_bytes"]
    assert client["payload"](b"photo", BOXES)["inputs"]["boxes"] == BOXES
