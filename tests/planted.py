"""People in known poses, without photographs, and results with known errors."""

from pathlib import Path

import numpy as np

from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.data.persons import ImageRecord, Person, PersonSet

# A standing person in units of its height, (x, y) by COCO's order; left is on the right of the picture.
STANDING = np.array(
    [(0, 0.06), (0.02, 0.04), (-0.02, 0.04), (0.045, 0.05), (-0.045, 0.05), (0.12, 0.2), (-0.12, 0.2), (0.17, 0.35)]
    + [(-0.17, 0.35), (0.2, 0.5), (-0.2, 0.5), (0.08, 0.52), (-0.08, 0.52), (0.1, 0.75), (-0.1, 0.75), (0.11, 0.97)]
    + [(-0.11, 0.97)]
)


def people(images=4, per_image=3, seed=0, height=(150, 300), copies=None):
    """A `PersonSet` of people side by side, every limb a little elsewhere, all labelled.

    With `copies` (image id → number) each image as often as it says, and the original of each copy's id.
    """
    random = np.random.default_rng(seed)
    records, persons, originals = {}, [], {}
    for image in range(images):
        mine = []
        for place in range(per_image):
            size = random.uniform(*height)
            points = STANDING + random.normal(0, 0.012, STANDING.shape)
            mine.append((points * size + (200 + 260 * place, 40), size))
        for copy in range(1 if copies is None else copies[image + 1]):
            number = image + 1 if copies is None else 100 * (image + 1) + copy
            originals[number] = image + 1
            records[number] = ImageRecord(number, f"{number:06}.jpg", 400, 260 * per_image + 160)
            for points, size in mine:
                low, high = points.min(0), points.max(0)
                box = (*map(float, low), *map(float, high - low))
                area = 0.25 * size * size
                persons.append(
                    Person(number, len(persons) + 1, box, points.astype("f4"), np.ones(17, np.float32), area)
                )
    found = PersonSet(Path("people.json"), records, tuple(persons), 1)
    return found if copies is None else (found, originals)


def poses_of(persons, score=0.9):
    """Perfect poses [P, K, 3]."""
    points = np.stack([each.keypoints for each in persons.persons]).astype(np.float64)
    return np.concatenate([points, np.full((*points.shape[:2], 1), score)], axis=2)


def skeleton_results(persons, points, scores):
    """COCO results of poses [P, K, 3], one for each person."""
    return [
        {"image_id": person.image_id, "category_id": 1, "keypoints": pose.ravel().tolist(), "score": float(score)}
        for person, pose, score in zip(persons.persons, points, scores, strict=True)
    ]


def results_with_errors(annotations):
    """Results of `pose_data.write_data_set`: a miss and an inversion, the last person missed, and a pose of nobody."""
    results = [
        {"image_id": each["image_id"], "category_id": 1, "keypoints": list(map(float, each["keypoints"])), "score": 0.9}
        for each in annotations["annotations"]
    ][:-1]
    points = np.array(results[0]["keypoints"]).reshape(17, 3)
    points[0, :2] = 300, 300
    points[15] = points[16]
    results[0]["keypoints"] = points.ravel().tolist()
    nobody = (np.array(results[1]["keypoints"]).reshape(17, 3) + [700, 0, 0]).ravel().tolist()
    return [*results, results[1] | {"keypoints": nobody, "score": 0.1}]


SIGMAS = np.array(COCO17.sigmas)
