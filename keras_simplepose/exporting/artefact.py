"""What an exporter is asked for, and a format of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_simplepose.config import ExportConfig
from keras_simplepose.exporting.person_finder import PersonFinder
from keras_simplepose.media.orientation import ImageReading
from keras_simplepose.prediction.exported_model import ArtefactMetadata


@dataclass(frozen=True)
class Artefact:
    """One artefact to be.

    Attributes:
        name: where it goes in the output folder.
        metadata: what it says.
        write: writes it.
        finder: the person detector inside, if there is one.
        takes_boxes: whether it has the signatures of a photograph with boxes, and of crops.
    """

    name: str
    metadata: ArtefactMetadata
    write: Callable[[Path], None]
    finder: PersonFinder | None = None
    takes_boxes: bool = True


@dataclass(frozen=True)
class ExportFormat:
    """One format of exported files.

    Attributes:
        names: what it writes in the output folder, for (configuration, output folder).
        plan: the artefacts of (configuration, model, metadata with decoding inside, output folder, reading).
        description: what it is.
    """

    names: Callable[[ExportConfig, Path], list[str]]
    plan: Callable[[ExportConfig, keras.Model, ArtefactMetadata, Path, ImageReading], list[Artefact]]
    description: str
