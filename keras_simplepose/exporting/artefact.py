"""What an exporter is asked for, and a format of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_simplepose.config import ExportConfig
from keras_simplepose.media.orientation import ImageReading
from keras_simplepose.prediction.exported_model import ArtefactMetadata


@dataclass(frozen=True)
class Artefact:
    """One artefact to be: where it goes in the output folder, what it says, and how it is written."""

    name: str
    metadata: ArtefactMetadata
    write: Callable[[Path], None]


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
