"""IDF1, HOTA, switches and fragments of whole persons, by TrackEval."""

import contextlib
import io
import itertools

import numpy as np

from keras_simplepose.evaluation.posetrack_matching import FramePairs
from keras_simplepose.utils.errors import UserError


def identity_measures(films: list[list[FramePairs]]) -> dict[str, float]:
    """Measures how well identities hold.

    How alike a tracked person and an annotated one are is the share of the labelled joints that are right (PCKh). From
    half of them on they are matched in IDF1 and the counts; HOTA goes through all shares.

    Args:
        films: the frames of each video.

    Returns:
        idf1, hota, deta and assa in percent, numbers of `switches` and `fragments`.

    Raises:
        UserError: TrackEval is not installed.
    """
    try:
        from trackeval.metrics import CLEAR, HOTA, Identity
    except ImportError as error:
        raise UserError("IDF1 and HOTA take TrackEval: pip install 'keras_simplepose[track]'") from error
    with contextlib.redirect_stdout(io.StringIO()):  # They print their settings.
        measures = {"HOTA": HOTA(), "CLEAR": CLEAR(), "Identity": Identity()}
    merged = {}
    for name, measure in measures.items():
        results = {str(number): measure.eval_sequence(_sequence(film)) for number, film in enumerate(films)}
        merged[name] = measure.combine_sequences(results)
    return {
        "idf1": 100 * float(merged["Identity"]["IDF1"]),
        "hota": 100 * float(np.mean(merged["HOTA"]["HOTA"])),
        "deta": 100 * float(np.mean(merged["HOTA"]["DetA"])),
        "assa": 100 * float(np.mean(merged["HOTA"]["AssA"])),
        "switches": int(merged["CLEAR"]["IDSW"]),
        "fragments": int(merged["CLEAR"]["Frag"]),
    }


def _sequence(film: list[FramePairs]) -> dict:
    """A video as TrackEval takes it: ids counted from 0 without gaps."""
    truth, found = (
        {person: number for number, person in enumerate(sorted(set(itertools.chain.from_iterable(ids))))}
        for ids in ((pairs.truth_ids.tolist() for pairs in film), (pairs.ids.tolist() for pairs in film))
    )
    return {
        "num_timesteps": len(film),
        "num_gt_dets": sum(len(pairs.truth_ids) for pairs in film),
        "num_tracker_dets": sum(len(pairs.ids) for pairs in film),
        "num_gt_ids": len(truth),
        "num_tracker_ids": len(found),
        "gt_ids": [np.array([truth[person] for person in pairs.truth_ids.tolist()], int) for pairs in film],
        "tracker_ids": [np.array([found[person] for person in pairs.ids.tolist()], int) for pairs in film],
        "similarity_scores": [pairs.shares().T for pairs in film],
    }
