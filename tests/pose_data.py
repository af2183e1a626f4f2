"""Small data sets whose pixels say where the keypoints are, and the predictor that reads them."""

import json

import cv2
import numpy as np

from keras_simplepose.config import EvaluationConfig
from keras_simplepose.core.geometry import box_to_crop, crop_matrix, transform_points
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.prediction.predictor import PosePredictor

SPEC = PoseSpec(COCO17, (64, 48), (16, 12), 2.0)
GREY_STEP = 8  # A person's number times this is the grey of the patch at its box's centre.


def write_data_set(folder, persons=(2, 1, 3), skeleton=COCO17, size=(120, 200), head_boxes=False):
    """Writes images/*.png and annotations.json: in image i, persons[i] people, each a grey patch with keypoints.

    Returns the annotations, which can be changed and written again.
    """
    random = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for image_id, count in enumerate(persons, start=1):
        pixels = np.zeros((*size, 3), np.uint8)
        images.append({"id": image_id, "file_name": f"{image_id}.png", "height": size[0], "width": size[1]})
        for index in range(count):
            x, y, width, height = 60 * index, 10 * index, 50, 80
            number = len(annotations) + 1
            pixels[y + 30 : y + 50, x + 15 : x + 35] = GREY_STEP * number
            points = random.uniform((x, y), (x + width, y + height), (len(skeleton.keypoints), 2)).round(2)
            keypoints = np.column_stack([points, np.full(len(points), 2)]).ravel().tolist()
            entry = {"id": number, "image_id": image_id, "category_id": 1, "bbox": [x, y, width, height]}
            entry |= {"area": 3000.0, "iscrowd": 0, "num_keypoints": len(points), "keypoints": keypoints}
            annotations.append(entry | ({"head_box": [x, y, x + 30, y + 40]} if head_boxes else {}))
        cv2.imwrite(str(folder / "images" / f"{image_id}.png"), pixels)
    category = {"id": 1, "name": "person", "keypoints": list(skeleton.keypoints)}
    values = {"images": images, "annotations": annotations, "categories": [category]}
    (folder / "annotations.json").write_text(json.dumps(values))
    return values


def reading_predictor(person_set, config=None, spec=SPEC, maximum=0.8):
    """A predictor that knows a person by the grey in the middle of its crop, and returns that person's keypoints.

    The keypoints are right only for the crop of the person's own box. Its `batches` lists how many crops it was given.
    """
    people = {person.annotation_id: person for person in person_set.persons}
    batches = []

    def predict(crops):
        batches.append(len(crops))
        points = []
        for crop in crops:
            person = people[round(float(crop[spec.input_size[0] // 2, spec.input_size[1] // 2, 0]) / GREY_STEP)]
            center, width = box_to_crop(np.array(person.box), spec.input_size, spec.box_padding)
            points.append(transform_points(crop_matrix(center, width, spec.input_size), person.keypoints))
        return np.stack(points).astype(np.float32), np.full((len(crops), len(spec.skeleton.keypoints)), maximum, "f4")

    predictor = PosePredictor(predict, spec, config or EvaluationConfig(evaluation_batch_size=4))
    predictor.batches = batches
    return predictor
