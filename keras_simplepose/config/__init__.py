"""Every tunable: its default, its unit, its range, its source. One frozen dataclass per purpose.

`flags.py` makes flags of them and has them checked, once, before a command starts; who builds configurations in Python
has them checked by `check`.
"""

from keras_simplepose.config.benchmark import BenchmarkConfig, SummaryConfig
from keras_simplepose.config.calibrating import CalibrateConfig
from keras_simplepose.config.conversion import ConvertConfig
from keras_simplepose.config.detector_training import (
    DetectorAugmentationConfig,
    DetectorDataConfig,
    DetectorModelConfig,
    DetectorOptimizationConfig,
    DetectorTrainingConfig,
)
from keras_simplepose.config.evaluation import CodecConfig, EvaluationConfig, EvaluationDataConfig
from keras_simplepose.config.exporting import ExportConfig, ProofConfig
from keras_simplepose.config.importing import ImportConfig, ImportedSkeletonConfig
from keras_simplepose.config.network import ModelConfig
from keras_simplepose.config.options import check
from keras_simplepose.config.prediction import DetectionDataConfig, DetectorConfig, PredictConfig
from keras_simplepose.config.presets import PresetsConfig
from keras_simplepose.config.reporting import CheckConfig, CompareConfig, ReportConfig
from keras_simplepose.config.tracking import TrackConfig, TrackEvaluationConfig, TrackingConfig
from keras_simplepose.config.training import (
    AugmentationConfig,
    OptimizationConfig,
    PatchConfig,
    PrepareConfig,
    RunConfig,
    ServeDataConfig,
    SyntheticDataConfig,
    TrainingConfig,
    TrainingDataConfig,
)

__all__ = [
    "AugmentationConfig",
    "BenchmarkConfig",
    "CalibrateConfig",
    "CheckConfig",
    "CodecConfig",
    "CompareConfig",
    "ConvertConfig",
    "DetectionDataConfig",
    "DetectorAugmentationConfig",
    "DetectorConfig",
    "DetectorDataConfig",
    "DetectorModelConfig",
    "DetectorOptimizationConfig",
    "DetectorTrainingConfig",
    "EvaluationConfig",
    "EvaluationDataConfig",
    "ExportConfig",
    "ImportConfig",
    "ImportedSkeletonConfig",
    "ModelConfig",
    "OptimizationConfig",
    "PatchConfig",
    "PredictConfig",
    "PrepareConfig",
    "PresetsConfig",
    "ProofConfig",
    "ReportConfig",
    "RunConfig",
    "ServeDataConfig",
    "SummaryConfig",
    "SyntheticDataConfig",
    "TrackConfig",
    "TrackEvaluationConfig",
    "TrackingConfig",
    "TrainingConfig",
    "TrainingDataConfig",
    "check",
]
