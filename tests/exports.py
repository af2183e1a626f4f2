"""The same persons as each annotation tool exports them, written from the tools' own descriptions of their formats."""

import dataclasses
import json
from xml.sax.saxutils import escape, quoteattr

import cv2
import numpy as np

NAMES = ("nose", "left_eye", "right_eye", "left_hip", "right_hip", "tail")
FLIP = [0, 2, 1, 4, 3, 5]
EDGES = [(0, 1), (0, 2), (3, 4), (4, 5)]
ROUNDING = {"yolo": 1e-6 * 400, "cvat": 0.01, "label_studio": 1e-9, "coco": 1e-4}  # Of what each writes, in pixels.


@dataclasses.dataclass
class Picture:
    """An image and its persons: keypoints [K, 3] in pixels with visibility, and a box."""

    name: str
    size: tuple
    persons: list


def pictures(seed=0, visibility=(0, 1, 2), count=3, sizes=((120, 160), (90, 70))):
    """Pictures with 2, 1, 0, … persons side by side, each inside its box."""
    random, found = np.random.default_rng(seed), []
    for place in range(count):
        height, width = sizes[place % len(sizes)]
        persons = []
        for index in range(max(2 - place, 0)):
            box = (width / 2 * index + 2, 5.0, width / 2 - 6, height - 20.0)
            points = random.uniform((box[0], box[1]), (box[0] + box[2], box[1] + box[3]), (len(NAMES), 2))
            seen = random.choice(visibility, len(NAMES))
            seen[:2] = max(visibility)
            persons.append((np.column_stack([np.where(seen[:, None] > 0, points, 0), seen]), box))
        found.append(Picture(f"p{place}.png", (height, width), persons))
    return found


def write_images(folder, images):
    folder.mkdir(parents=True, exist_ok=True)
    for each in images:
        cv2.imwrite(str(folder / each.name), np.zeros((*each.size, 3), np.uint8))


def write_yolo(folder, splits, dimensions=3, names=True, **changes):
    """data.yaml, images/SPLIT and labels/SPLIT."""
    import yaml

    for split, images in splits.items():
        write_images(folder / "images" / split, images)
        (folder / "labels" / split).mkdir(parents=True, exist_ok=True)
        for each in images:
            lines = []
            for points, (x, y, width, height) in each.persons:
                size = np.array(each.size[::-1])
                box = [
                    *((np.array([x, y]) + np.array([width, height]) / 2) / size),
                    *(np.array([width, height]) / size),
                ]
                shares = np.column_stack([points[:, :2] / size, points[:, 2]])[:, :dimensions]
                numbers = [f"{value:.8f}" for value in box] + [
                    f"{value:.8f}" if place % dimensions < 2 else f"{value:.0f}"
                    for place, value in enumerate(shares.ravel())
                ]
                lines.append(" ".join(["0", *numbers]))
            (folder / "labels" / split / each.name).with_suffix(".txt").write_text("\n".join(lines) + "\n")
    values = {"path": ".", "names": {0: "person"}, "kpt_shape": [len(NAMES), dimensions], "flip_idx": FLIP}
    values |= {split: f"images/{split}" for split in splits} | ({"kpt_names": {0: list(NAMES)}} if names else {})
    (folder / "data.yaml").write_text(yaml.safe_dump({key: each for key, each in (values | changes).items() if each}))
    return folder


def coco_tables(images):
    annotations = [
        {
            "id": number,
            "image_id": place,
            "category_id": 1,
            "bbox": list(box),
            "area": box[2] * box[3] / 2,
            "iscrowd": 0,
            "segmentation": [],
            "keypoints": np.asarray(points, object).ravel().tolist(),
            "num_keypoints": int((points[:, 2] > 0).sum()),
        }
        for number, (place, (points, box)) in enumerate(
            (place, person) for place, each in enumerate(images) for person in each.persons
        )
    ]
    return {
        "info": {"description": "Exported"},
        "categories": [
            {"id": 0, "name": "set", "supercategory": "none"},
            {"id": 1, "name": "person", "supercategory": "set", "keypoints": list(NAMES)}
            | {"skeleton": [[one + 1, other + 1] for one, other in EDGES]},
        ],
        "images": [
            {"id": place, "license": 1, "file_name": each.name, "height": each.size[0], "width": each.size[1]}
            for place, each in enumerate(images)
        ],
        "annotations": annotations,
    }


def write_roboflow(folder, splits):
    """SPLIT/_annotations.coco.json beside the images; ids count from 0, as Roboflow's do."""
    for split, images in splits.items():
        write_images(folder / split, images)
        (folder / split / "_annotations.coco.json").write_text(json.dumps(coco_tables(images)))
    return folder


def cvat_xml(images, grouped="skeleton", boxes=True, group_ids=True):
    """annotations.xml of CVAT for images 1.1.

    `grouped`: skeleton elements, `points` elements of all of a person, or `single` ones.
    """
    circles = "".join(
        f'<circle data-type="element node" data-element-id="{place}" data-node-id="{place}" data-label-name="{name}"/>'
        for place, name in enumerate(NAMES, start=1)
    )
    lines = "".join(
        f'<line data-type="edge" data-node-from="{one + 1}" data-node-to="{other + 1}"></line>' for one, other in EDGES
    )
    labels = f"<label><name>person</name><type>skeleton</type><svg>{escape(lines + circles)}</svg></label>" + "".join(
        f"<label><name>{name}</name><type>points</type><parent>person</parent></label>" for name in NAMES
    )
    body, group = [], 0
    for place, each in enumerate(images):
        height, width = each.size
        body.append(f'<image id="{place}" name={quoteattr(each.name)} width="{width}" height="{height}">')
        for points, (x, y, box_width, box_height) in each.persons:
            group += 1
            mark = f' group_id="{group}"' if group_ids else ""
            if boxes:
                body.append(
                    f'<box label="person" occluded="0" xtl="{x:.2f}" ytl="{y:.2f}" xbr="{x + box_width:.2f}" '
                    f'ybr="{y + box_height:.2f}" z_order="0"{mark}></box>'
                )
            elements = [
                f'<points label="{name}" source="manual" outside="{int(v == 0)}" occluded="{int(v == 1)}" '
                f'points="{px if v else 7:.2f},{py if v else 8:.2f}"{mark if grouped == "single" else ""}></points>'
                for name, (px, py, v) in zip(NAMES, points, strict=True)
                if v or grouped == "skeleton"
            ]
            if grouped == "skeleton":
                body.append(
                    f'<skeleton label="person" source="manual" z_order="0"{mark}>{"".join(elements)}</skeleton>'
                )
            elif grouped == "single":
                body += elements
            else:
                text = ";".join(f"{px:.2f},{py:.2f}" for px, py, _ in points)
                body.append(f'<points label="person" occluded="0" points="{text}"{mark}></points>')
        body.append("</image>")
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>'
        f"<meta><task><labels>{labels}</labels></task></meta>{''.join(body)}</annotations>\n"
    )


def label_studio_tasks(images, rectangles=True, parents=True, labels_tag=False):
    """Tasks of Label Studio's JSON export."""
    tasks = []
    for place, each in enumerate(images):
        height, width = each.size
        common = {"original_width": width, "original_height": height, "image_rotation": 0, "to_name": "image"}
        results = []
        for index, (points, (x, y, box_width, box_height)) in enumerate(each.persons):
            box = {"x": 100 * x / width, "y": 100 * y / height}
            box |= {"width": 100 * box_width / width, "height": 100 * box_height / height, "rotation": 0}
            parent = f"rect{index}"
            if rectangles:
                value = box | {"rectanglelabels": ["person"]}
                results.append(common | {"id": parent, "type": "rectanglelabels", "from_name": "box", "value": value})
            for name, (px, py, v) in zip(NAMES, points, strict=True):
                if not v:
                    continue
                value = {"x": 100 * px / width, "y": 100 * py / height, "width": 0.4}
                entry = common | {"id": f"{parent}-{name}", "from_name": "points"}
                entry |= {"parentID": parent} if parents else {}
                if labels_tag:
                    results.append(entry | {"type": "keypoint", "value": value})
                    results.append(entry | {"type": "labels", "value": value | {"labels": [name]}})
                else:
                    results.append(entry | {"type": "keypointlabels", "value": value | {"keypointlabels": [name]}})
        annotation = {"id": 100 + place, "was_cancelled": False, "ground_truth": False, "result": results}
        image = f"/data/upload/3/{place:08x}-{each.name}"
        tasks.append({"id": place + 1, "data": {"image": image}, "annotations": [annotation], "predictions": []})
    return tasks
