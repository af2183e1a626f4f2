"""Sends a photograph and boxes to TF Serving over gRPC and prints the keypoints. Needs tensorflow-serving-api.

python grpc_client.py photo.jpg --box 50,40,100,200 --box 200,40,90,180
"""

import argparse
import json
import sys
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc


def request(image_bytes: bytes, boxes: list[list[float]], model: str = "pose") -> predict_pb2.PredictRequest:
    """A request of the signature serving_default."""
    message = predict_pb2.PredictRequest()
    message.model_spec.name = model
    message.model_spec.signature_name = "serving_default"
    message.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(image_bytes))
    message.inputs["boxes"].CopyFrom(tf.make_tensor_proto(np.array(boxes, np.float32).reshape(-1, 4)))
    return message


def predict(address: str, image_bytes: bytes, boxes: list[list[float]], timeout: float = 30.0) -> dict[str, np.ndarray]:
    """Finds the keypoints of the persons in boxes.

    Args:
        address: of the server, such as localhost:8500.
        image_bytes: a JPEG or PNG file's content.
        boxes: N lists of x, y, width, height in pixels.
        timeout: in seconds.

    Returns:
        {"keypoints": [N, K, 3] float32, x, y (pixels) and score; "scores": [N] float32}.

    Raises:
        grpc.RpcError: the server answers with an error, or not at all.
    """
    unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(address, options=unlimited) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = stub.Predict(request(image_bytes, boxes), timeout=timeout)
    return {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}


def box(text: str) -> list[float]:
    """Reads x,y,width,height."""
    values = [float(part) for part in text.split(",")]
    if len(values) != 4:
        raise argparse.ArgumentTypeError(f"{text!r} is not x,y,width,height")
    return values


def main() -> int:
    """Prints the server's answer as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", type=Path)
    parser.add_argument("--box", type=box, action="append", default=[], help="x,y,width,height in pixels; repeatable")
    parser.add_argument("--address", default="localhost:8500")
    arguments = parser.parse_args()
    try:
        answer = predict(arguments.address, arguments.image.read_bytes(), arguments.box)
    except grpc.RpcError as error:
        print(f"error: {arguments.address}: {error.code().name}: {error.details()}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps({name: value.tolist() for name, value in answer.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
