"""Finds keypoints with an exported TFLite file. Needs NumPy, Pillow and ai-edge-litert, no TensorFlow.

python tflite_client.py pose_float32.tflite photo.jpg --box 50,40,100,200
"""

import argparse
import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image


class PoseFile:
    """An exported TFLite file with the signature `image`."""

    def __init__(self, path: Path, threads: int | None = None):
        """Loads a file.

        Args:
            path: of it.
            threads: to compute with; None means one per core.
        """
        with zipfile.ZipFile(path) as archive:  # The metadata are a ZIP archive at the end of the file.
            self.metadata = json.loads(archive.read("keras_simplepose.json"))
        self._interpreter = Interpreter(str(path), num_threads=threads or os.cpu_count())
        self._image = self._interpreter.get_signature_runner("image")

    @property
    def names(self) -> list[str]:
        """The names of the keypoints, in order."""
        return self.metadata["skeleton"]["keypoints"]

    def __call__(self, image: np.ndarray, box: list[float]) -> tuple[np.ndarray, float]:
        """Finds one person.

        Args:
            image: [any, any, 3] uint8 RGB.
            box: x, y, width, height in its pixels.

        Returns:
            keypoints [K, 3] float32, x, y (pixels) and score; the person's score.
        """
        answer = self._image(image=image, boxes=np.array([box], np.float32))
        return answer["keypoints"][0], float(answer["scores"][0])


def box(text: str) -> list[float]:
    """Reads x,y,width,height."""
    values = [float(part) for part in text.split(",")]
    if len(values) != 4:
        raise argparse.ArgumentTypeError(f"{text!r} is not x,y,width,height")
    return values


def main() -> int:
    """Prints the keypoints of each box as JSON, by name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--box", type=box, action="append", help="x,y,width,height in pixels; repeatable; default: all")
    arguments = parser.parse_args()
    try:
        pose = PoseFile(arguments.model)
        image = np.asarray(Image.open(arguments.image).convert("RGB"))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for each in arguments.box or [[0, 0, image.shape[1], image.shape[0]]]:
        keypoints, score = pose(image, each)
        print(json.dumps({"score": score, "keypoints": dict(zip(pose.names, keypoints.tolist(), strict=True))}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
