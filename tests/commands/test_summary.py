import keras
import pytest
from stand_ins import SPEC, tiny_network

from keras_simplepose import summary
from keras_simplepose.benchmarks.costs import Costs, measure_costs, multiply_adds, table
from keras_simplepose.config import ModelConfig, SummaryConfig
from keras_simplepose.models.files import save_model
from keras_simplepose.utils.errors import UserError


@pytest.mark.parametrize(
    ("name", "filters", "size", "published"),
    [
        ("resnet50_pytorch", (256, 256, 256), (256, 192), 5.43),  # The deconvolutions 1.41 of them.
        ("resnet50_pytorch", (), (224, 224), 4.09),  # torchvision's table, its classifier's 0.002 aside.
        ("mobilenetv2_pytorch", (), (224, 224), 0.30),  # The paper's.
    ],
)
def test_multiply_adds_are_the_published(name, filters, size, published):
    config = ModelConfig(backbone=name, input_size=size, deconv_filters=filters, deconv_kernels=(4,) * len(filters))
    costs = measure_costs(name, config, 0, 0)
    assert costs.multiply_adds / 1e9 == pytest.approx(published, abs=0.01)
    assert costs.milliseconds is None and costs.training_bytes is None


def test_every_kind_of_layer_is_counted_by_hand():
    inputs = keras.Input((8, 6, 4))
    x = keras.layers.Conv2D(10, 3, 2, padding="same", groups=2)(inputs)  # 4×3 places, 3·3·2·10
    x = keras.layers.DepthwiseConv2D(3, padding="same")(x)  # 12 places, 3·3·10
    x = keras.layers.Conv2DTranspose(5, 4, 2, padding="same")(x)  # 12 places of its input, 4·4·10·5
    x = keras.Sequential([keras.layers.Dense(7)])(x)  # 8×6 places, 5·7
    assert multiply_adds(keras.Model(inputs, x)) == 12 * 180 + 12 * 90 + 12 * 800 + 48 * 35


def test_one_table_for_files_and_flagfiles(tmp_path, capsys):
    save_model(tiny_network(SPEC), tmp_path / "tiny.keras")
    recipe = tmp_path / "recipe.cfg"
    recipe.write_text("--architecture=hourglass\n--stacks=1\n--input_size=64,64\n--workdir=w\n--epochs=3\n")
    files = (str(tmp_path / "tiny.keras"),)
    summary.main(SummaryConfig(model=files, experiments=(str(recipe),), rounds=1, training_batch=0))
    header, tiny, hourglass = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["network", "input", "layers"]
    assert tiny.startswith("tiny.keras") and float(tiny.split()[-1]) > 0
    assert hourglass.split()[:2] == ["recipe.cfg", "64×64"]
    summary.main(SummaryConfig(model=files, rounds=0, training_batch=0))
    assert len(capsys.readouterr().out.splitlines()) > 5  # Its layers too.
    for given in (["--flagfile=a.cfg,b.cfg", "--rounds=2"], ["--flagfile=a.cfg", "--rounds=2", "--flagfile=b.cfg"]):
        assert summary.own_arguments(given) == ["--rounds=2", "--experiments=a.cfg,b.cfg"]
    with pytest.raises(UserError, match="nothing to sum up"):
        summary.main(SummaryConfig())


def test_models_of_one_name_are_told_apart_and_columns_stand_below_their_heads():
    rows = [Costs(name, "pose", (64, 64), 3, 1_000, 900, 2 * 10**9, 12.3, 4 * 10**9) for name in ("a/best", "b/best")]
    header, one, other = table([row.name for row in rows], rows, 16)
    assert one.startswith("a/best ") and other.startswith("b/best ") and len(header) == len(one) == len(other)
    for title, value in (("ms/crop", "12.3"), ("GB, step of 16", "4.00"), ("GMAC", "2.00"), ("input", "64×64")):
        assert header.index(title) + len(title) == one.index(f" {value}") + 1 + len(value)
    assert list(table(["a/best", "b/last"], rows, 16))[1].startswith("best ")


@pytest.mark.slow
def test_a_training_steps_memory_grows_with_the_batch():
    config = ModelConfig(backbone="resnet18_pytorch", input_size=(128, 128))
    small, large = (measure_costs("x", config, 0, batch).training_bytes for batch in (2, 32))
    # A ReLU's and a normalisation's output of 64×64×64 float32 for each crop, at the least.
    assert large - small > 30 * 64 * 64 * 64 * 4 * 2
