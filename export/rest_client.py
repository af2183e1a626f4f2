"""Sends a photograph and boxes to TF Serving over REST and prints the keypoints. Needs requests.

python rest_client.py photo.jpg --box 50,40,100,200 --box 200,40,90,180
python rest_client.py photo.jpg --everybody  (exported with --with_detector)
"""

import argparse
import base64
import json
import sys
from pathlib import Path

import requests


def payload(image_bytes: bytes, boxes: list[list[float]] | None) -> dict:
    """The body of a request: TF Serving's column format, the photograph as base64; without boxes for everybody."""
    inputs: dict = {"image_bytes": {"b64": base64.b64encode(image_bytes).decode()}}
    if boxes is None:
        return {"signature_name": "persons", "inputs": inputs}
    return {"signature_name": "serving_default", "inputs": inputs | {"boxes": boxes}}


def predict(url: str, image_bytes: bytes, boxes: list[list[float]] | None, timeout: float = 30.0) -> dict:
    """Finds the keypoints of the persons in boxes.

    Args:
        url: of the model, such as http://localhost:8501/v1/models/pose.
        image_bytes: a JPEG or PNG file's content.
        boxes: N lists of x, y, width, height in pixels; None: everybody, if a detector was exported with the network.
        timeout: in seconds.

    Returns:
        {"keypoints": N lists of K lists of x, y (pixels) and score, "scores": N numbers}, and
        without boxes also "boxes" and "box_scores".

    Raises:
        RuntimeError: the server answers with an error; the message is its own.
    """
    if boxes is not None and not boxes:  # JSON's [] has no second dimension, so it cannot be an array of N = 0 boxes.
        return {"keypoints": [], "scores": []}
    response = requests.post(f"{url}:predict", json=payload(image_bytes, boxes), timeout=timeout)
    try:
        answer = response.json()
    except ValueError:
        answer = {"error": response.text[:200]}
    if response.status_code != 200 or "error" in answer:
        raise RuntimeError(f"{url}: {response.status_code}: {answer.get('error', answer)}")
    return answer["outputs"]


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
    parser.add_argument("--everybody", action="store_true", help="no boxes: the detector inside finds the persons")
    parser.add_argument("--url", default="http://localhost:8501/v1/models/pose")
    arguments = parser.parse_args()
    try:
        answer = predict(arguments.url, arguments.image.read_bytes(), None if arguments.everybody else arguments.box)
    except (OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
